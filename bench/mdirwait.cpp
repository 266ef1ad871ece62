// mdirwait: waits until N messages have been delivered into a set of Maildirs
// (entries created in or moved to new/ or cur/, seen by inotify) and reports
// the rate.  Start it before the load.
//
//   mdirwait --count N [--max-s 120] maildir...
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
using namespace std::chrono;
static double now() { return duration<double>(steady_clock::now().time_since_epoch()).count(); }
int main(int n, char** v) {
  long count = 1;
  double max_s = 120;
  int in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), dirs = 0;
  for (int i = 1; i < n; i++) {
    std::string k = v[i];
    if (k == "--count")
      count = atol(v[++i]);
    else if (k == "--max-s")
      max_s = std::min(3600., atof(v[++i]));
    else
      for (const char* s : {"/new", "/cur"})
        if (inotify_add_watch(in, (k + s).c_str(), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
          perror((k + s).c_str());
          return 1;
        } else
          dirs++;
  }
  long got = 0;
  double t0 = now(), first = 0, last = 0;
  static char b[1 << 20];
  bool over = false;
  while (got < count && now() - t0 < max_s) {
    pollfd p{in, POLLIN, 0};
    if (poll(&p, 1, 200) <= 0) continue;
    ssize_t r = read(in, b, sizeof b);
    for (ssize_t o = 0; o < r;) {
      auto* e = (inotify_event*)(b + o);
      if (e->mask & IN_Q_OVERFLOW)
        over = true;
      else if (e->len) {
        got++;
        last = now();
        if (!first) first = last;
      }
      o += sizeof *e + e->len;
    }
  }
  double el = last - first;
  printf(
      "{\"tool\":\"mdirwait\",\"dirs\":%d,\"delivered\":%ld,\"overflow\":%s,\"secs\":%.3f,\"msgs_per_s\":%.1f,"
      "\"first\":%.3f,\"last\":%.3f}\n",
      dirs / 2, got, over ? "true" : "false", el, el > 0 ? double(got - 1) / el : 0, first, last);
  return got >= count ? 0 : 1;
}
