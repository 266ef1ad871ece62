// smtpsinkd: an SMTP/LMTP sink that takes everything and throws it away, for
// measuring relay throughput.  One epoll thread, loopback only.
//
//   smtpsinkd --port P [--host 127.0.0.1] [--lmtp 0|1] [--count M] [--max-s 600]
//             [--rcpts R] [--delay-ms D] [--tempfail 0|1] [--quiet-s Q]
//
//   --count M    leave after M messages (0: run until --max-s)
//   --rcpts R    leave after R recipients of taken messages
//   --quiet-s Q  leave Q seconds after the last message, once one has arrived
//   --delay-ms D wait D ms before the final reply (a far-off receiver)
//   --tempfail 1 answer every RCPT with 451
//
// Prints one JSON line when it leaves (also on SIGTERM/SIGINT): messages,
// recipients, octets, connections, most connections at once, seconds between
// first and last message, the CLOCK_MONOTONIC times of both, and distinct
// message ids (so that a duplicate or a loss shows).
#include <fcntl.h>
#include <sys/epoll.h>

#include <deque>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "bench/load.h"

using namespace load;
static volatile sig_atomic_t stop;
struct Conn {
  int fd;
  std::string in, out;
  bool data = false, ids = false;
  int rcpts = 0;
  size_t octets = 0;
  std::string idline;
};
static std::unordered_map<int, Conn> cs;
static std::deque<std::pair<double, int>> later;
static long n_msg, n_rcpt, n_bytes, n_conn, n_dup;
static size_t max_live;
static double t_first, t_last;
static std::unordered_set<std::string> ids;
static int lmtp, tempfail;
static double delay;

static void put(Conn& c) {
  while (!c.out.empty()) {
    ssize_t r = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (r <= 0) return;
    c.out.erase(0, r);
  }
}
static void finish(Conn& c) {
  int k = lmtp ? c.rcpts : 1;
  for (int i = 0; i < k; i++) c.out += "250 2.0.0 taken\r\n";
  c.rcpts = 0;
}
static bool command(Conn& c, std::string_view l) {
  char u[5] = {};
  for (size_t i = 0; i < 4 && i < l.size(); i++) u[i] = char(toupper(l[i]));
  if (!strcmp(u, "EHLO") || !strcmp(u, "LHLO"))
    c.out +=
        "250-sink\r\n250-PIPELINING\r\n250-SIZE "
        "104857600\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n";
  else if (!strcmp(u, "RCPT")) {
    if (tempfail)
      c.out += "451 4.3.0 later\r\n";
    else {
      c.rcpts++;
      c.out += "250 2.1.5 ok\r\n";
    }
  } else if (!strcmp(u, "DATA")) {
    if (c.rcpts) {
      c.out += "354 go\r\n";
      c.data = true;
      c.octets = 0;
      c.idline.clear();
    } else
      c.out += "503 5.5.1 no recipient\r\n";
  } else if (!strcmp(u, "QUIT")) {
    c.out += "221 2.0.0 bye\r\n";
    return false;
  } else {
    if (!strcmp(u, "RSET") || !strcmp(u, "MAIL")) c.rcpts = 0;
    c.out += "250 2.0.0 ok\r\n";
  }
  return true;
}
static bool readable(Conn& c) {
  static char b[256 << 10];
  ssize_t r = recv(c.fd, b, sizeof b, 0);
  if (r < 0 && errno == EAGAIN) return true;
  if (r <= 0) return false;
  c.in.append(b, r);
  for (size_t p = 0;;) {
    if (c.data) {
      size_t e = c.in.compare(p, 3, ".\r\n") == 0 && c.octets == 0 ? p : std::string::npos, len = 3;
      if (e == std::string::npos && (e = c.in.find("\r\n.\r\n", p)) != std::string::npos) len = 5;
      if (c.octets == 0 && c.in.compare(p, 12, "Message-ID: ") == 0) {
        size_t z = c.in.find('\r', p);
        if (z != std::string::npos) c.idline = c.in.substr(p + 12, z - p - 12);
      }
      if (c.octets < 16384 && c.idline.empty())
        for (const char* h : {"\nMessage-ID: ", "\nMessage-Id: ", "\nMessage-id: "}) {
          size_t q = c.in.find(h, p ? p - 1 : 0);
          if (q != std::string::npos && (e == std::string::npos || q < e)) {
            size_t z = c.in.find('\r', q);
            if (z != std::string::npos) {
              c.idline = c.in.substr(q + 13, z - q - 13);
              break;
            }
          }
        }
      if (e == std::string::npos) {
        size_t keep = std::min<size_t>(4, c.in.size() - p);
        if (c.octets < 16384 && c.idline.empty()) keep = std::min<size_t>(1024, c.in.size() - p);
        c.octets += c.in.size() - p - keep;
        c.in.erase(0, c.in.size() - keep);
        break;
      }
      c.octets += e - p;
      p = e + len;
      c.data = false;
      double t = now();
      if (!n_msg++) t_first = t;
      t_last = t;
      n_rcpt += c.rcpts;
      n_bytes += c.octets;
      if (!c.idline.empty() && ids.size() < 3000000 && !ids.insert(c.idline).second) n_dup++;
      if (delay > 0)
        later.push_back({t + delay, c.fd});
      else
        finish(c);
    } else {
      size_t e = c.in.find('\n', p);
      if (e == std::string::npos) {
        c.in.erase(0, p);
        break;
      }
      bool go = command(c, std::string_view(c.in).substr(p, e - p));
      p = e + 1;
      if (!go) {
        put(c);
        return false;
      }
    }
  }
  put(c);
  return true;
}
int main(int n, char** v) {
  std::string host = "127.0.0.1";
  int port = 0;
  long count = 0, rcpts = 0;
  double max_s = 600, quiet = 0;
  double delay_ms = 0;
  read_options(n, v,
               {text("--host", host), number("--port", port), number("--lmtp", lmtp), number("--count", count),
                number("--rcpts", rcpts), number("--max-s", max_s, 0., 3600.), number("--delay-ms", delay_ms),
                number("--tempfail", tempfail), number("--quiet-s", quiet)});
  delay = delay_ms / 1e3;
  const sockaddr_in a = loopback("smtpsinkd", host, port);
  struct sigaction sa {};
  sa.sa_handler = [](int) { stop = 1; };
  sigaction(SIGTERM, &sa, 0);
  sigaction(SIGINT, &sa, 0);
  int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(l, (const sockaddr*)&a, sizeof a) || listen(l, 4096)) {
    perror("bind");
    return 1;
  }
  int ep = epoll_create1(EPOLL_CLOEXEC);
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.fd = l;
  epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
  epoll_event ev[256];
  double t0 = now();
  while (!stop && now() - t0 < max_s && (!count || n_msg < count) && (!rcpts || n_rcpt < rcpts) &&
         !(quiet > 0 && n_msg && now() - t_last > quiet)) {
    int k = epoll_wait(ep, ev, 256, later.empty() ? 100 : 1);
    for (int i = 0; i < k; i++) {
      if (ev[i].data.fd == l) {
        int f;
        while ((f = accept4(l, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          setsockopt(f, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          e.data.fd = f;
          e.events = EPOLLIN;
          epoll_ctl(ep, EPOLL_CTL_ADD, f, &e);
          Conn& c = cs[f];
          c = Conn{};
          c.fd = f;
          c.out = "220 sink ESMTP\r\n";
          put(c);
          n_conn++;
          max_live = std::max(max_live, cs.size());
        }
        continue;
      }
      auto it = cs.find(ev[i].data.fd);
      if (it == cs.end()) continue;
      if (!readable(it->second)) {
        close(it->first);
        cs.erase(it);
      }
    }
    for (double t = now(); !later.empty() && later.front().first <= t; later.pop_front()) {
      auto it = cs.find(later.front().second);
      if (it != cs.end()) {
        finish(it->second);
        put(it->second);
      }
    }
  }
  // let the last replies out
  for (double t = now(); now() - t < 0.3 && !stop;) {
    int k = epoll_wait(ep, ev, 256, 20);
    for (int i = 0; i < k; i++) {
      auto it = cs.find(ev[i].data.fd);
      if (it != cs.end() && !readable(it->second)) {
        close(it->first);
        cs.erase(it);
      }
    }
  }
  double el = t_last - t_first;
  printf(
      "{\"tool\":\"smtpsinkd\",\"msgs\":%ld,\"rcpts\":%ld,\"MB\":%.2f,\"distinct_ids\":%zu,\"duplicates\":%ld,"
      "\"connections\":%ld,\"max_conns\":%zu,\"secs\":%.3f,\"msgs_per_s\":%.1f,\"first\":%.3f,\"last\":%.3f}\n",
      n_msg, n_rcpt, double(n_bytes) / 1e6, ids.size(), n_dup, n_conn, max_live, el,
      el > 0 ? double(n_msg - 1) / el : 0, t_first, t_last);
}
