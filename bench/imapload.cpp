// imapload: an IMAP4 load generator (threads; idle mode: one epoll thread).
// Loopback only.  Prints one JSON line.
//
//   imapload --port P [--host 127.0.0.1] --user U --pass W [--users K] [--mailbox INBOX]
//            --mode append|login|ops|idle [--conns C] [--count N] [--max-s 120]
//
// append  N messages over C connections: --size S, or --corpus DIR (a Maildir or
//         a folder of files); --batch B sends B messages in one APPEND (MULTIAPPEND)
// login   N sessions over C connections at once: connect, LOGIN, SELECT, LOGOUT
// ops     each connection does LOGIN, then --ops a,b,c in turn, --reps times:
//         select status list noop flags envelope bodystructure header headers body
//         text search-from search-subject search-body search-text search-unseen
//         search-since search-header sort-date sort-subject sort-from thread-refs
//         thread-subj store unstore copy move moveback delete expunge drop
//         (copy and move go to --dest, made first; expunge works on --dest)
//         or raw:COMMAND
// idle    C connections sit in IDLE; --notices N messages are appended one after
//         another; reports how fast the connections came up and how long after
//         the APPEND was answered each notice came; --hold-s T waits before that
//
// %d in --user becomes the connection number modulo --users.
#include "bench/imapload.h"

#include <dirent.h>
#include <fcntl.h>

#include <thread>

using namespace load;

void each(const std::function<void(int)>& f) {
  std::vector<std::thread> t;
  for (int i = 0; i < set.conns; i++)
    t.emplace_back([&, i] {
      try {
        f(i);
      } catch (Failure& e) {
        note(e.what);
      }
    });
  for (auto& x : t) x.join();
}

std::vector<std::string> load_messages() {
  std::vector<std::string> v;
  if (set.corpus.empty()) {
    std::string m =
        "From: a@example.org\r\nTo: b@example.org\r\nSubject: append\r\nDate: Sat, 21 Nov 2026 00:00:00 "
        "+0000\r\nMessage-ID: <append@example.org>\r\n\r\n";
    while (long(m.size()) < set.size) m += "The quick brown fox jumps over the lazy dog, again and again.\r\n";
    v.push_back(m);
    return v;
  }
  std::vector<std::string> names;
  for (std::string d : {set.corpus + "/cur", set.corpus + "/new", set.corpus})
    if (DIR* h = opendir(d.c_str())) {
      while (dirent* e = readdir(h))
        if (e->d_name[0] != '.' && e->d_type == DT_REG) names.push_back(d + "/" + e->d_name);
      closedir(h);
    }
  std::sort(names.begin(), names.end());
  if (long(names.size()) > set.count) names.resize(set.count);
  for (auto& n : names) {
    std::string raw, m;
    int f = ::open(n.c_str(), O_RDONLY);
    char b[65536];
    ssize_t r;
    while ((r = read(f, b, sizeof b)) > 0) raw.append(b, r);
    close(f);
    m.reserve(raw.size() * 41 / 40);
    for (char c : raw) {
      if (c == '\n' && (m.empty() || m.back() != '\r')) m += '\r';
      m += c;
    }
    v.push_back(std::move(m));
  }
  return v;
}

void do_append() {
  auto ms = load_messages();
  std::vector<double> lat;
  std::atomic<long> next{0}, done{0}, bytes{0};
  double t0 = now();
  each([&](int i) {
    Imap c;
    c.open();
    c.login(i);
    c.cmd("CAPABILITY");
    bool plus = c.caps.find("LITERAL+") != std::string::npos || c.caps.find("LITERAL-") != std::string::npos;
    if (set.mailbox != "INBOX") {
      try {
        c.cmd("CREATE \"" + set.mailbox + "\"");
      } catch (Failure&) {
      }
    }
    std::vector<double> my;
    for (;;) {
      long k = next.fetch_add(set.batch);
      if (k >= set.count || now() > set.t_end) break;
      long n = std::min<long>(set.batch, set.count - k);
      std::string t = c.next(), head = t + " APPEND \"" + set.mailbox + "\"";
      double s = now();
      long by = 0;
      for (long j = 0; j < n; j++) {
        auto& m = ms[(k + j) % ms.size()];
        bool p = plus && (c.caps.find("LITERAL+") != std::string::npos || m.size() <= 4096);
        by += m.size();
        head += " {" + std::to_string(m.size()) + (p ? "+" : "") + "}\r\n";
        if (!p) {
          c.put(head);
          head.clear();
          auto r = c.finish(t + " ", s);
          if (r.status != "+") throw Failure{r.status};
        }
        head += m;
        if (head.size() > 65536) {
          c.put(head);
          head.clear();
        }
      }
      c.put(head + "\r\n");
      c.finish(t + " ", s);
      my.push_back(now() - s);
      done += n;
      bytes += by;
    }
    std::lock_guard g(mu);
    lat.insert(lat.end(), my.begin(), my.end());
  });
  double el = now() - t0;
  printf(
      "{\"tool\":\"imapload\",\"mode\":\"append\",\"conns\":%d,\"batch\":%d,\"msgs\":%ld,\"secs\":%.3f,\"msgs_per_s\":%"
      ".1f,\"MB_per_s\":%.2f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failures\":%ld,\"error\":\"%s\"}\n",
      set.conns, set.batch, done.load(), el, double(done) / el, double(bytes) / el / 1e6, pct(lat, .5), pct(lat, .99),
      failures.load(), esc(error).c_str());
}

void do_login() {
  std::vector<double> lat;
  std::atomic<long> next{0}, done{0};
  double t0 = now();
  each([&](int i) {
    std::vector<double> my;
    while (next++ < set.count && now() < set.t_end) {
      double s = now();
      try {
        Imap c;
        c.open();
        c.login(i);
        c.cmd("SELECT \"" + set.mailbox + "\"");
        c.cmd("LOGOUT");
        done++;
        my.push_back(now() - s);
      } catch (Failure& e) {
        note(e.what);
        if (failures > 100) return;
      }
    }
    std::lock_guard g(mu);
    lat.insert(lat.end(), my.begin(), my.end());
  });
  double el = now() - t0;
  printf(
      "{\"tool\":\"imapload\",\"mode\":\"login\",\"conns\":%d,\"sessions\":%ld,\"secs\":%.3f,\"sessions_per_s\":%.1f,"
      "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failures\":%ld,\"error\":\"%s\"}\n",
      set.conns, done.load(), el, double(done) / el, pct(lat, .5), pct(lat, .99), failures.load(), esc(error).c_str());
}

int main(int n, char** v) {
  read_options(
      n, v,
      {text("--host", set.host), number("--port", set.port), text("--user", set.user), text("--pass", set.pass),
       number("--users", set.users, 1), text("--mailbox", set.mailbox), text("--mode", set.mode),
       text("--ops", set.ops), text("--dest", set.dest), text("--corpus", set.corpus),
       number("--conns", set.conns, 1, 10000), number("--count", set.count, 0L, 1000000L),
       number("--size", set.size, 0L, 50L << 20), number("--batch", set.batch, 1, 1000),
       number("--reps", set.reps, 0, 1000), number("--notices", set.notices, 0, 1000),
       number("--max-s", set.max_s, 0., 3600.), number("--hold-s", set.hold_s, 0., 600.)});
  set.addr = loopback("imapload", set.host, set.port);
  set.t_end = now() + set.max_s;
  if (set.mode == "append")
    do_append();
  else if (set.mode == "login")
    do_login();
  else if (set.mode == "idle")
    do_idle();
  else if (set.mode == "ops")
    do_ops();
  else {
    fprintf(stderr, "unknown mode\n");
    return 2;
  }
  return failures ? 1 : 0;
}
