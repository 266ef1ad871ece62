// pop3load: a POP3 load generator (threads).  Loopback only.  One JSON line.
//
//   pop3load --port P [--host 127.0.0.1] --user U --pass W [--users K] [--conns C]
//            [--sessions N] [--mode stat|uidl|retr] [--pipeline D] [--limit M] [--max-s 120]
//
//   stat  login, STAT, QUIT     uidl  and UIDL and LIST     retr  and RETR of every message
//   --pipeline D  keep D RETR commands under way (1: none)
//   --limit M     at most M messages per session
#include <atomic>
#include <mutex>
#include <thread>

#include "bench/load.h"

using namespace load;
static std::string host = "127.0.0.1", user = "user0", pass = "pass", mode = "retr";
static int port, conns = 1, users = 1, depth = 1;
static long sessions = 1, lim = 1L << 40;
static double max_s = 120, t_end;
static sockaddr_in addr;
struct Pop : Connection {
  long octets = 0;
  Pop() : Connection(1 << 18) { open(addr, max_s); }
  std::pair<char*, size_t> line() {
    auto [p, n] = read_line();
    octets += long(n);
    return {p, n};
  }
  std::string ok() {
    auto [p, n] = line();
    if (*p != '+') throw Failure{std::string(p, std::min<size_t>(n, 100))};
    return std::string(p, n);
  }
  long multi() {
    long k = 0;
    for (;;) {
      auto [p, n] = line();
      if (n <= 3 && p[0] == '.' && (p[1] == '\r' || p[1] == '\n')) return k;
      k++;
    }
  }
  std::string cmd(const std::string& s) {
    put(s + "\r\n");
    return ok();
  }
};
int main(int n, char** v) {
  read_options(n, v,
               {text("--host", host), number("--port", port), text("--user", user), text("--pass", pass),
                number("--users", users, 1), number("--conns", conns, 1, 1000), number("--sessions", sessions),
                text("--mode", mode), number("--pipeline", depth, 1, 1000), number("--limit", lim),
                number("--max-s", max_s, 0., 3600.)});
  addr = loopback("pop3load", host, port);
  std::atomic<long> next{0}, done{0}, msgs{0}, bytes{0}, fails{0};
  std::mutex mu;
  std::string err;
  std::vector<double> t_login, t_list, t_all;
  double t0 = now();
  t_end = t0 + max_s;
  std::vector<std::thread> th;
  for (int i = 0; i < conns; i++)
    th.emplace_back([&, i] {
      while (next++ < sessions && now() < t_end) try {
          double s = now();
          Pop p;
          p.ok();
          char u[256];
          snprintf(u, sizeof u, user.c_str(), i % users);
          p.cmd(std::string("USER ") + u);
          p.cmd("PASS " + pass);
          std::string st = p.cmd("STAT");
          double a = now();
          long cnt = atol(st.c_str() + 4), got = 0;
          if (mode != "stat") {
            p.cmd("UIDL");
            p.multi();
            p.cmd("LIST");
            p.multi();
          }
          double b = now();
          if (mode == "retr") {
            long want = std::min(cnt, lim), sent = 0;
            while (got < want && now() < t_end) {
              std::string q;
              while (sent < want && sent - got < depth) q += "RETR " + std::to_string(++sent) + "\r\n";
              if (!q.empty()) p.put(q);
              p.ok();
              p.multi();
              got++;
            }
          }
          p.cmd("QUIT");
          double e = now();
          done++;
          msgs += got;
          bytes += p.octets;
          std::lock_guard g(mu);
          t_login.push_back(a - s);
          t_list.push_back(b - a);
          t_all.push_back(e - s);
        } catch (Failure& f) {
          std::lock_guard g(mu);
          err = f.what;
          if (++fails > 100) return;
        }
    });
  for (auto& t : th) t.join();
  double el = now() - t0;
  printf(
      "{\"tool\":\"pop3load\",\"mode\":\"%s\",\"conns\":%d,\"pipeline\":%d,\"sessions\":%ld,\"secs\":%.3f,\"sessions_"
      "per_s\":%.1f,\"msgs\":%ld,\"msgs_per_s\":%.1f,\"MB_per_s\":%.2f,\"login_stat_p50_ms\":%.3f,\"uidl_list_p50_ms\":"
      "%.3f,\"session_p50_ms\":%.3f,\"session_p99_ms\":%.3f,\"failures\":%ld,\"error\":\"%s\"}\n",
      mode.c_str(), conns, depth, done.load(), el, double(done) / el, msgs.load(), double(msgs) / el,
      double(bytes) / el / 1e6, pct(t_login, .5), pct(t_list, .5), pct(t_all, .5), pct(t_all, .99), fails.load(),
      esc(err).c_str());
  return fails ? 1 : 0;
}
