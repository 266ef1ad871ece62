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
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
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
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono;
static double now() { return duration<double>(steady_clock::now().time_since_epoch()).count(); }
static std::string host = "127.0.0.1", user = "user0", pass = "pass", mailbox = "INBOX", mode = "ops",
                   ops = "select,flags", dest = "bench-dest", corpus;
static int port, conns = 1, users = 1, batch = 1, reps = 1, notices = 5;
static long count = 100, size = 4096;
static double max_s = 120, hold_s = 0;
static sockaddr_in addr;
static double t_end;

struct Failure {
  std::string what;
};
static std::string user_of(int i) {
  char b[256];
  snprintf(b, sizeof b, user.c_str(), i % users);
  return b;
}
static std::string esc(std::string s) {
  for (auto& c : s)
    if (c == '"' || c == '\\' || (unsigned char)c < 32) c = '\'';
  return s;
}

struct Imap {
  int fd = -1;
  std::vector<char> buf;
  size_t pos = 0, len = 0;
  int tag = 0;
  std::string caps;
  long exists = 0;
  struct Res {
    long untagged = 0, fetches = 0, octets = 0;
    double first = 0;
    std::string status;
    long hits = 0;
  };
  Imap() : buf(1 << 20) {}
  ~Imap() {
    if (fd >= 0) close(fd);
  }
  void open() {
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    timeval tv{time_t(max_s) + 1, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (connect(fd, (sockaddr*)&addr, sizeof addr)) throw Failure{std::string("connect: ") + strerror(errno)};
    std::string h;
    long z;
    line(h, z);
    if (h.compare(0, 4, "* OK")) throw Failure{"greeting: " + h};
  }
  void fill() {
    if (pos) {
      memmove(&buf[0], &buf[pos], len - pos);
      len -= pos;
      pos = 0;
    }
    if (len == buf.size()) buf.resize(buf.size() * 2);
    ssize_t r = recv(fd, &buf[len], buf.size() - len, 0);
    if (r <= 0) throw Failure{r ? strerror(errno) : "closed by the server"};
    len += r;
  }
  // One logical response: literals skipped and counted, first 200 octets kept.
  void line(std::string& head, long& octets) {
    head.clear();
    octets = 0;
    for (;;) {
      char* e;
      size_t from = pos;
      while (!(e = (char*)memchr(&buf[from], '\n', len - from))) {
        size_t off = len - pos;
        fill();
        from = pos + off;
      }
      size_t n = e - &buf[pos] + 1;
      octets += n;
      if (head.size() < 200) head.append(&buf[pos], std::min(n, 200 - head.size()));
      long lit = -1;
      if (n >= 5 && e[-1] == '\r' && e[-2] == '}') {
        char* p = e - 3;
        while (p > &buf[pos] && (isdigit(*p) || *p == '+')) p--;
        if (*p == '{') lit = atol(p + 1);
      }
      pos += n;
      if (lit < 0) return;
      octets += lit;
      while (lit > 0) {
        if (pos == len) {
          pos = len = 0;
          fill();
        }
        size_t k = std::min<size_t>(lit, len - pos);
        pos += k;
        lit -= k;
      }
    }
  }
  void put(const char* p, size_t n) {
    while (n) {
      ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
      if (r <= 0) throw Failure{std::string("send: ") + strerror(errno)};
      p += r;
      n -= r;
    }
  }
  void put(const std::string& s) { put(s.data(), s.size()); }
  Res finish(const std::string& t, double t0) {
    Res r;
    std::string h;
    long o;
    for (;;) {
      line(h, o);
      r.octets += o;
      if (!r.first) r.first = now() - t0;
      if (h[0] == '*') {
        r.untagged++;
        char* e;
        long n = strtol(h.c_str() + 2, &e, 10);
        if (e != h.c_str() + 2) {
          if (!strncmp(e, " FETCH", 6))
            r.fetches++;
          else if (!strncmp(e, " EXISTS", 7))
            exists = n;
          else if (!strncmp(e, " EXPUNGE", 8))
            exists--;
        } else if (!h.compare(0, 8, "* SEARCH") || !h.compare(0, 6, "* SORT"))
          r.hits += o < 8 ? 0 : o;  // octets of numbers
        else if (!h.compare(0, 12, "* CAPABILITY"))
          caps = h;
      } else if (!h.compare(0, t.size(), t)) {
        r.status = h.substr(t.size(), 120);
        if (r.status.compare(0, 2, "OK")) throw Failure{"answer: " + h.substr(0, 150)};
        size_t c = h.find("[CAPABILITY");
        if (c != std::string::npos) caps = h.substr(c);
        return r;
      } else if (h[0] == '+') {
        r.status = "+";
        return r;
      }
    }
  }
  std::string next() { return "a" + std::to_string(++tag); }
  Res cmd(const std::string& c) {
    std::string t = next();
    double t0 = now();
    put(t + " " + c + "\r\n");
    return finish(t + " ", t0);
  }
  void login(int i) { cmd("LOGIN \"" + user_of(i) + "\" \"" + pass + "\""); }
};

static double pct(std::vector<double> v, double q) {
  if (v.empty()) return 0;
  size_t k = std::min(v.size() - 1, size_t(q * double(v.size())));
  std::nth_element(v.begin(), v.begin() + k, v.end());
  return v[k] * 1e3;
}
static std::mutex mu;
static std::string error;
static std::atomic<long> failures;
static void note(const std::string& e) {
  std::lock_guard g(mu);
  error = e;
  failures++;
}
static void each(const std::function<void(int)>& f) {
  std::vector<std::thread> t;
  for (int i = 0; i < conns; i++)
    t.emplace_back([&, i] {
      try {
        f(i);
      } catch (Failure& e) {
        note(e.what);
      }
    });
  for (auto& x : t) x.join();
}

static std::vector<std::string> load_messages() {
  std::vector<std::string> v;
  if (corpus.empty()) {
    std::string m =
        "From: a@example.org\r\nTo: b@example.org\r\nSubject: append\r\nDate: Sat, 21 Nov 2026 00:00:00 "
        "+0000\r\nMessage-ID: <append@example.org>\r\n\r\n";
    while (long(m.size()) < size) m += "The quick brown fox jumps over the lazy dog, again and again.\r\n";
    v.push_back(m);
    return v;
  }
  std::vector<std::string> names;
  for (std::string d : {corpus + "/cur", corpus + "/new", corpus})
    if (DIR* h = opendir(d.c_str())) {
      while (dirent* e = readdir(h))
        if (e->d_name[0] != '.' && e->d_type == DT_REG) names.push_back(d + "/" + e->d_name);
      closedir(h);
    }
  std::sort(names.begin(), names.end());
  if (long(names.size()) > count) names.resize(count);
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

static void do_append() {
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
    if (mailbox != "INBOX") {
      try {
        c.cmd("CREATE \"" + mailbox + "\"");
      } catch (Failure&) {
      }
    }
    std::vector<double> my;
    for (;;) {
      long k = next.fetch_add(batch);
      if (k >= count || now() > t_end) break;
      long n = std::min<long>(batch, count - k);
      std::string t = c.next(), head = t + " APPEND \"" + mailbox + "\"";
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
      conns, batch, done.load(), el, double(done) / el, double(bytes) / el / 1e6, pct(lat, .5), pct(lat, .99),
      failures.load(), esc(error).c_str());
}

static void do_login() {
  std::vector<double> lat;
  std::atomic<long> next{0}, done{0};
  double t0 = now();
  each([&](int i) {
    std::vector<double> my;
    while (next++ < count && now() < t_end) {
      double s = now();
      try {
        Imap c;
        c.open();
        c.login(i);
        c.cmd("SELECT \"" + mailbox + "\"");
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
      conns, done.load(), el, double(done) / el, pct(lat, .5), pct(lat, .99), failures.load(), esc(error).c_str());
}

static std::string command_of(const std::string& o) {
  static const std::map<std::string, std::string> m = {
      {"select", "SELECT \"%m\""},
      {"status", "STATUS \"%m\" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)"},
      {"list", "LIST \"\" \"*\""},
      {"noop", "NOOP"},
      {"flags", "FETCH 1:* (FLAGS UID RFC822.SIZE)"},
      {"envelope", "FETCH 1:* (ENVELOPE)"},
      {"bodystructure", "FETCH 1:* (BODYSTRUCTURE)"},
      {"header", "FETCH 1:* (BODY.PEEK[HEADER])"},
      {"headers",
       "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID "
       "REFERENCES IN-REPLY-TO CONTENT-TYPE)])"},
      {"body", "FETCH 1:* (BODY.PEEK[])"},
      {"text", "FETCH 1:* (BODY.PEEK[1])"},
      {"search-all", "SEARCH ALL"},
      {"search-from", "SEARCH FROM \"u17@\""},
      {"search-subject", "SEARCH SUBJECT \"raresubject\""},
      {"search-body", "SEARCH BODY \"needle7 \""},
      {"search-text", "SEARCH TEXT \"needle7 \""},
      {"search-unseen", "SEARCH UNSEEN"},
      {"search-since", "SEARCH SINCE 1-Jan-2021"},
      {"search-header", "SEARCH HEADER Message-ID \"example.org\""},
      {"sort-date", "SORT (DATE) UTF-8 ALL"},
      {"sort-subject", "SORT (SUBJECT) UTF-8 ALL"},
      {"sort-from", "SORT (FROM) UTF-8 ALL"},
      {"sort-size", "SORT (SIZE) UTF-8 ALL"},
      {"sort-arrival", "SORT (REVERSE ARRIVAL) UTF-8 ALL"},
      {"thread-refs", "THREAD REFERENCES UTF-8 ALL"},
      {"thread-subj", "THREAD ORDEREDSUBJECT UTF-8 ALL"},
      {"store", "STORE 1:* +FLAGS (\\Flagged)"},
      {"unstore", "STORE 1:* -FLAGS.SILENT (\\Flagged)"},
      {"copy", "COPY 1:* \"%d\""},
      {"move", "MOVE 1:* \"%d\""},
      {"delete", "STORE 1:* +FLAGS.SILENT (\\Deleted)"},
      {"expunge", "EXPUNGE"},
      {"drop", "DELETE \"%d\""}};
  auto i = m.find(o);
  return i == m.end() ? "" : i->second;
}
static void do_ops() {
  struct Row {
    std::string op;
    std::vector<double> t, first;
    long fetches = 0, octets = 0;
  };
  std::vector<std::string> list;
  for (size_t p = 0; p <= ops.size();) {
    size_t e = ops.find(',', p);
    if (e == std::string::npos) e = ops.size();
    list.push_back(ops.substr(p, e - p));
    p = e + 1;
  }
  std::vector<Row> rows;
  for (auto& o : list) rows.push_back({o, {}, {}, 0, 0});
  long seen = 0;
  double t0 = now();
  each([&](int i) {
    Imap c;
    c.open();
    c.login(i);
    std::string d = conns > 1 ? dest + std::to_string(i) : dest;
    auto fill = [&](std::string s) {
      for (auto [k, v] : {std::pair{std::string("%m"), mailbox}, std::pair{std::string("%d"), d}}) {
        size_t p = s.find(k);
        if (p != std::string::npos) s.replace(p, 2, v);
      }
      return s;
    };
    bool selected = false;
    for (int r = 0; r < reps; r++)
      for (size_t k = 0; k < list.size() && now() < t_end; k++) {
        auto& o = list[k];
        std::string cm = o.compare(0, 4, "raw:") ? command_of(o) : o.substr(4);
        if (o == "moveback") {
          c.cmd(fill("SELECT \"%d\""));
          cm = "MOVE 1:* \"%m\"";
        }
        if (o == "delete") c.cmd(fill("SELECT \"%d\""));
        if (o == "drop" || o == "copy" || o == "move") {
          if (o == "drop") {
            c.cmd(fill("SELECT \"%m\""));
          } else {
            try {
              c.cmd(fill("CREATE \"%d\""));
            } catch (Failure&) {
            }
          }
        }
        if (cm.empty()) throw Failure{"unknown op " + o};
        if (!selected && o != "select" && o != "list" && o != "status") {
          c.cmd(fill("SELECT \"%m\""));
        }
        selected = selected || (o != "list" && o != "status");
        double s = now();
        Imap::Res res;
        try {
          res = c.cmd(fill(cm));
        } catch (Failure& f) {
          if (f.what.compare(0, 7, "answer:")) throw;
          note(o + ": " + f.what);
          continue;
        }
        double el = now() - s;
        std::lock_guard g(mu);
        rows[k].t.push_back(el);
        rows[k].first.push_back(res.first);
        rows[k].fetches += res.fetches;
        rows[k].octets += res.octets;
        seen = std::max(seen, c.exists);
      }
  });
  std::string js;
  char b[512];
  for (auto& r : rows) {
    if (r.t.empty()) continue;
    double m = pct(r.t, .5) / 1e3, sum = 0;
    for (double x : r.t) sum += x;
    snprintf(b, sizeof b,
             "%s{\"op\":\"%s\",\"n\":%zu,\"median_s\":%.6f,\"max_s\":%.6f,\"first_ms\":%.3f,\"fetches\":%ld,\"octets\":"
             "%ld,\"fetches_per_s\":%.0f,\"MB_per_s\":%.2f}",
             js.empty() ? "" : ",", esc(r.op).c_str(), r.t.size(), m, *std::max_element(r.t.begin(), r.t.end()),
             pct(r.first, .5), r.fetches / long(r.t.size()), r.octets / long(r.t.size()),
             double(r.fetches) / sum * conns, double(r.octets) / sum * conns / 1e6);
    js += b;
  }
  printf(
      "{\"tool\":\"imapload\",\"mode\":\"ops\",\"conns\":%d,\"mailbox\":\"%s\",\"messages\":%ld,\"secs\":%.3f,"
      "\"failures\":%ld,\"error\":\"%s\",\"ops\":[%s]}\n",
      conns, esc(mailbox).c_str(), seen, now() - t0, failures.load(), esc(error).c_str(), js.c_str());
}

static void do_idle() {
  struct C {
    int fd = -1;
    int st = 0;
    std::string in;
    double t0 = 0;
    double noticed = 0;
  };
  std::vector<C> cs(conns);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  size_t started = 0, up = 0, dead = 0;
  std::vector<double> ready;
  epoll_event ev[256];
  double t0 = now();
  auto lose = [&](C& c, const std::string& w) {
    if (c.st != 4)
      dead++;
    else {
      up--;
      dead++;
    }
    close(c.fd);
    c.fd = -1;
    c.st = 9;
    note(w);
  };
  auto say = [&](C& c, const std::string& s) {
    if (send(c.fd, s.data(), s.size(), MSG_NOSIGNAL) != ssize_t(s.size())) lose(c, "send");
  };
  auto pump = [&](int ms) {
    int k = epoll_wait(ep, ev, 256, ms);
    double t = now();
    for (int i = 0; i < k; i++) {
      C& c = cs[ev[i].data.u32];
      if (c.fd < 0) continue;
      char b[16384];
      ssize_t r = recv(c.fd, b, sizeof b, 0);
      if (r <= 0) {
        if (r < 0 && errno == EAGAIN) continue;
        lose(c, "closed by the server");
        continue;
      }
      c.in.append(b, r);
      size_t p = 0, e;
      while (c.fd >= 0 && (e = c.in.find('\n', p)) != std::string::npos) {
        std::string_view l(&c.in[p], e - p);
        p = e + 1;
        if (c.st == 0) {
          if (l.substr(0, 4) != "* OK") {
            lose(c, std::string(l));
            break;
          }
          c.st = 1;
          int idx = int(&c - cs.data());
          say(c, "a LOGIN \"" + user_of(idx) + "\" \"" + pass + "\"\r\n");
        } else if (c.st == 1 && l.substr(0, 2) == "a ") {
          if (l.substr(0, 4) != "a OK") {
            lose(c, std::string(l));
            break;
          }
          c.st = 2;
          say(c, "b SELECT \"" + mailbox + "\"\r\n");
        } else if (c.st == 2 && l.substr(0, 2) == "b ") {
          if (l.substr(0, 4) != "b OK") {
            lose(c, std::string(l));
            break;
          }
          c.st = 3;
          say(c, "c IDLE\r\n");
        } else if (c.st == 3 && l[0] == '+') {
          c.st = 4;
          up++;
          ready.push_back(t - c.t0);
        } else if (c.st == 4 && l.find(" EXISTS") != std::string_view::npos)
          c.noticed = t;
      }
      if (c.fd >= 0) c.in.erase(0, p);
    }
  };
  while (up + dead < cs.size() && now() < t_end) {
    while (started < cs.size() && started - up - dead < 32) {
      C& c = cs[started];
      c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      int one = 1;
      setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      c.t0 = now();
      if (connect(c.fd, (sockaddr*)&addr, sizeof addr)) {
        dead++;
        c.st = 9;
        close(c.fd);
        c.fd = -1;
        note("connect");
      } else {
        fcntl(c.fd, F_SETFL, O_NONBLOCK);
        epoll_event e{};
        e.events = EPOLLIN;
        e.data.u32 = uint32_t(started);
        epoll_ctl(ep, EPOLL_CTL_ADD, c.fd, &e);
      }
      started++;
    }
    pump(50);
  }
  double t_up = now() - t0;
  size_t n_up = up;
  fprintf(stderr, "ready: %zu idle connections after %.2f s, %zu lost\n", up, t_up, dead);
  fflush(stderr);
  for (double h = now(); now() - h < hold_s;) pump(100);
  std::vector<double> delay;
  long missed = 0, expected = 0;
  auto ms = load_messages();
  for (int k = 0; k < notices && now() < t_end; k++) {
    for (auto& c : cs) c.noticed = 0;
    int u = k % users;
    double t_ok = 0;
    std::atomic<bool> done{false};
    std::thread ap([&] {
      try {
        Imap a;
        a.open();
        a.login(u);
        std::string t = a.next();
        double s = now();
        auto& m = ms[k % ms.size()];
        a.put(t + " APPEND \"" + mailbox + "\" {" + std::to_string(m.size()) + "}\r\n");
        a.finish(t + " ", s);
        a.put(m + "\r\n");
        a.finish(t + " ", s);
        t_ok = now();
      } catch (Failure& f) {
        note(f.what);
      }
      done = true;
    });
    auto waiting = [&] {
      size_t w = 0;
      for (size_t i = 0; i < cs.size(); i++)
        if (int(i) % users == u && cs[i].st == 4 && !cs[i].noticed) w++;
      return w;
    };
    double lim = now() + std::min(max_s, 35.0);
    while ((!done || waiting()) && now() < lim) pump(20);
    ap.join();
    for (size_t i = 0; i < cs.size(); i++)
      if (int(i) % users == u && cs[i].st == 4) {
        expected++;
        if (cs[i].noticed && t_ok)
          delay.push_back(cs[i].noticed - t_ok);
        else
          missed++;
      }
  }
  printf(
      "{\"tool\":\"imapload\",\"mode\":\"idle\",\"conns\":%d,\"up\":%zu,\"secs_up\":%.3f,\"accept_per_s\":%.1f,\"ready_"
      "p50_ms\":%.3f,\"notices\":%ld,\"missed\":%ld,\"notice_p50_ms\":%.3f,\"notice_p99_ms\":%.3f,\"notice_max_ms\":%."
      "3f,\"failures\":%ld,\"error\":\"%s\"}\n",
      conns, n_up, t_up, double(n_up) / t_up, pct(ready, .5), expected, missed, pct(delay, .5), pct(delay, .99),
      pct(delay, 1), failures.load(), esc(error).c_str());
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
    else if (k == "--mailbox")
      mailbox = a;
    else if (k == "--mode")
      mode = a;
    else if (k == "--ops")
      ops = a;
    else if (k == "--dest")
      dest = a;
    else if (k == "--corpus")
      corpus = a;
    else if (k == "--conns")
      conns = std::clamp(stoi(a), 1, 10000);
    else if (k == "--count")
      count = std::min(1000000L, stol(a));
    else if (k == "--size")
      size = std::min(50L << 20, stol(a));
    else if (k == "--batch")
      batch = std::clamp(stoi(a), 1, 1000);
    else if (k == "--reps")
      reps = std::min(1000, stoi(a));
    else if (k == "--notices")
      notices = std::min(1000, stoi(a));
    else if (k == "--max-s")
      max_s = std::min(3600., stod(a));
    else if (k == "--hold-s")
      hold_s = std::min(600., stod(a));
    else {
      fprintf(stderr, "unknown option %s\n", v[i]);
      return 2;
    }
  }
  addr.sin_family = AF_INET;
  addr.sin_port = htons(uint16_t(port));
  if (inet_pton(AF_INET, host.c_str(), &addr.sin_addr) != 1 || (ntohl(addr.sin_addr.s_addr) >> 24) != 127) {
    fprintf(stderr, "imapload: loopback addresses only\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  t_end = now() + max_s;
  if (mode == "append")
    do_append();
  else if (mode == "login")
    do_login();
  else if (mode == "idle")
    do_idle();
  else if (mode == "ops")
    do_ops();
  else {
    fprintf(stderr, "unknown mode\n");
    return 2;
  }
  return failures ? 1 : 0;
}
