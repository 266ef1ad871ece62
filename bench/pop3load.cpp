// pop3load: a POP3 load generator (threads).  Loopback only.  One JSON line.
//
//   pop3load --port P [--host 127.0.0.1] --user U --pass W [--users K] [--conns C]
//            [--sessions N] [--mode stat|uidl|retr] [--pipeline D] [--limit M] [--max-s 120]
//
//   stat  login, STAT, QUIT     uidl  and UIDL and LIST     retr  and RETR of every message
//   --pipeline D  keep D RETR commands under way (1: none)
//   --limit M     at most M messages per session
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
using namespace std::chrono;
static double now() { return duration<double>(steady_clock::now().time_since_epoch()).count(); }
static std::string host = "127.0.0.1", user = "user0", pass = "pass", mode = "retr";
static int port, conns = 1, users = 1, depth = 1;
static long sessions = 1, lim = 1L << 40;
static double max_s = 120, t_end;
static sockaddr_in addr;
struct Failure {
  std::string what;
};
struct Pop {
  int fd;
  std::vector<char> buf;
  size_t pos = 0, len = 0;
  long octets = 0;
  Pop() : buf(1 << 18) {
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    timeval tv{time_t(max_s) + 1, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (connect(fd, (sockaddr*)&addr, sizeof addr)) {
      close(fd);
      throw Failure{strerror(errno)};
    }
  }
  ~Pop() { close(fd); }
  std::pair<char*, size_t> line() {
    size_t from = pos;
    char* e;
    while (!(e = (char*)memchr(&buf[from], '\n', len - from))) {
      size_t off = len - pos;
      if (pos) {
        memmove(&buf[0], &buf[pos], off);
        pos = 0;
        len = off;
      }
      if (len == buf.size()) buf.resize(len * 2);
      ssize_t r = recv(fd, &buf[len], buf.size() - len, 0);
      if (r <= 0) throw Failure{r ? strerror(errno) : "closed by the server"};
      len += r;
      from = off;
    }
    char* p = &buf[pos];
    size_t n = e - p + 1;
    pos += n;
    octets += n;
    return {p, n};
  }
  std::string ok() {
    auto [p, n] = line();
    if (*p != '+') throw Failure{std::string(p, std::min<size_t>(n, 100))};
    return std::string(p, n);
  }
  void put(const std::string& s) {
    const char* p = s.data();
    size_t n = s.size();
    while (n) {
      ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
      if (r <= 0) throw Failure{"send"};
      p += r;
      n -= r;
    }
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
static double pct(std::vector<double>& v, double q) {
  if (v.empty()) return 0;
  size_t k = std::min(v.size() - 1, size_t(q * double(v.size())));
  std::nth_element(v.begin(), v.begin() + k, v.end());
  return v[k] * 1e3;
}
int main(int n, char** v) {
  for (int i = 1; i + 1 < n; i += 2) {
    std::string k = v[i], a = v[i + 1];
    if (k == "--host")
      host = a;
    else if (k == "--port")
      port = stoi(a);
    else if (k == "--user")
      user = a;
    else if (k == "--pass")
      pass = a;
    else if (k == "--users")
      users = std::max(1, stoi(a));
    else if (k == "--conns")
      conns = std::clamp(stoi(a), 1, 1000);
    else if (k == "--sessions")
      sessions = stol(a);
    else if (k == "--mode")
      mode = a;
    else if (k == "--pipeline")
      depth = std::clamp(stoi(a), 1, 1000);
    else if (k == "--limit")
      lim = stol(a);
    else if (k == "--max-s")
      max_s = std::min(3600., stod(a));
    else {
      fprintf(stderr, "unknown option %s\n", v[i]);
      return 2;
    }
  }
  addr.sin_family = AF_INET;
  addr.sin_port = htons(uint16_t(port));
  if (inet_pton(AF_INET, host.c_str(), &addr.sin_addr) != 1 || (ntohl(addr.sin_addr.s_addr) >> 24) != 127) {
    fprintf(stderr, "pop3load: loopback addresses only\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
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
  for (auto& c : err)
    if (c == '"' || c == '\\' || (unsigned char)c < 32) c = '\'';
  printf(
      "{\"tool\":\"pop3load\",\"mode\":\"%s\",\"conns\":%d,\"pipeline\":%d,\"sessions\":%ld,\"secs\":%.3f,\"sessions_"
      "per_s\":%.1f,\"msgs\":%ld,\"msgs_per_s\":%.1f,\"MB_per_s\":%.2f,\"login_stat_p50_ms\":%.3f,\"uidl_list_p50_ms\":"
      "%.3f,\"session_p50_ms\":%.3f,\"session_p99_ms\":%.3f,\"failures\":%ld,\"error\":\"%s\"}\n",
      mode.c_str(), conns, depth, done.load(), el, double(done) / el, msgs.load(), double(msgs) / el,
      double(bytes) / el / 1e6, pct(t_login, .5), pct(t_list, .5), pct(t_all, .5), pct(t_all, .99), fails.load(),
      err.c_str());
  return fails ? 1 : 0;
}
