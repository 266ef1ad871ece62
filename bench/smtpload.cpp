// smtpload: an SMTP/LMTP load generator, one epoll thread.  Loopback only.
//
//   smtpload --port P [--host 127.0.0.1] [--conns N] [--msgs M] [--size S]
//            [--rcpts R] [--users U] [--to user%d@test.local] [--from a@b]
//            [--pipeline 0|1] [--per-conn K] [--lmtp 0|1] [--max-s 120]
//            [--idle 1 --hold-s T] [--quit-wait 0|1]
//
//   --per-conn K  messages per connection, then QUIT and connect anew (0: no limit)
//   --to          %d becomes a number 0..U-1, turning over
//   --idle 1      open N connections, say EHLO, keep them T seconds, send nothing
//
// Prints one JSON line.  "final" is the time from the last octet of the message
// (the dot) being handed to the kernel to the last final reply.
#include <fcntl.h>
#include <sys/epoll.h>

#include <map>

#include "bench/load.h"

using namespace load;

static std::string host = "127.0.0.1", to = "user%d@test.local", from = "sender@load.test";
static int port, conns = 1, rcpts = 1, users = 1, per_conn, lmtp, pipelining = 1, idle_mode;
static long msgs = 1000, size = 4096;
static double max_s = 120, hold_s = 10;

enum St { CONNECTING, BANNER, EHLO, MAIL, RCPT, DATA, FINAL, QUIT, IDLE, DEAD };
struct Conn {
  int fd = -1;
  St st = DEAD;
  std::string in, out;
  size_t outpos = 0;
  bool want_out = false;
  long seq = 0;
  int done = 0, expect = 0, nrcpt = 0, finals = 0, ok = 0;
  bool pipe = false, bad = false, in_msg = false;
  double t_conn = 0, t_dot = 0;
  bool dot_queued = false;
  size_t rest = 0;  // body octets still to queue
};
static std::vector<Conn> cs;
static int ep;
static long next_msg, n_ok, n_fail, n_conn, n_connfail;
static std::map<int, long> codes;
static std::vector<float> lat, conlat;
static double t_first_ok, t_last_ok;
static int live;
static std::string body;
static sockaddr_in addr;
static std::string last_err;
static int quit_wait;
static std::vector<std::pair<int, double>> aside;

static void arm(Conn& c, bool out) {
  if (c.want_out == out) return;
  c.want_out = out;
  epoll_event e{};
  e.events = EPOLLIN | (out ? unsigned(EPOLLOUT) : 0u);
  e.data.u32 = unsigned(&c - cs.data());
  epoll_ctl(ep, EPOLL_CTL_MOD, c.fd, &e);
}
static void drop(Conn& c) {
  if (c.fd >= 0) {
    close(c.fd);
    c.fd = -1;
    live--;
  }
  c.st = DEAD;
}
static void start(Conn& c) {
  c = Conn{};
  c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c.fd < 0) {
    perror("socket");
    exit(1);
  }
  int one = 1;
  setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  live++;
  n_conn++;
  c.t_conn = now();
  c.st = CONNECTING;
  c.want_out = true;
  epoll_event e{};
  e.events = EPOLLIN | EPOLLOUT;
  e.data.u32 = unsigned(&c - cs.data());
  epoll_ctl(ep, EPOLL_CTL_ADD, c.fd, &e);
  if (connect(c.fd, (sockaddr*)&addr, sizeof addr) && errno != EINPROGRESS) {
    n_connfail++;
    last_err = strerror(errno);
    drop(c);
  }
}
static void fail(Conn& c, const std::string& why) {
  if (c.in_msg) {
    n_fail++;
    c.in_msg = false;
  }
  last_err = why;
  drop(c);
}
static bool flush(Conn& c) {
  for (;;) {
    if (c.outpos == c.out.size()) {
      c.out.clear();
      c.outpos = 0;
      if (!c.rest) break;
    }
    size_t n;
    const char* p;
    if (c.outpos < c.out.size()) {
      p = c.out.data() + c.outpos;
      n = c.out.size() - c.outpos;
    } else {
      p = body.data() + (body.size() - c.rest);
      n = c.rest;
    }
    ssize_t r = send(c.fd, p, n, MSG_NOSIGNAL | (c.outpos < c.out.size() && c.rest ? MSG_MORE : 0));
    if (r < 0) {
      if (errno == EAGAIN) {
        arm(c, true);
        return true;
      }
      fail(c, strerror(errno));
      return false;
    }
    if (c.outpos < c.out.size())
      c.outpos += r;
    else
      c.rest -= r;
  }
  if (c.dot_queued) {
    c.dot_queued = false;
    c.t_dot = now();
  }
  arm(c, false);
  return true;
}
// QUIT: unless --quit-wait 1, the connection is put aside to be read to its end
// while the next one starts at once (some servers answer QUIT 0.2 s late, and
// no sender in the field waits for that).
static void leave(Conn& c) {
  c.st = QUIT;
  c.out += "QUIT\r\n";
  if (!flush(c) || quit_wait) return;
  epoll_ctl(ep, EPOLL_CTL_DEL, c.fd, nullptr);
  aside.push_back({c.fd, now()});
  c.fd = -1;
  live--;
  c.st = DEAD;
  if (per_conn && next_msg < msgs) start(c);
}
static void sweep(bool all) {
  char b[512];
  size_t k = 0;
  for (auto& [fd, t] : aside) {
    ssize_t r;
    while ((r = recv(fd, b, sizeof b, 0)) > 0) {
    }
    if (r == 0 || (r < 0 && errno != EAGAIN) || all || now() - t > 10)
      close(fd);
    else
      aside[k++] = {fd, t};
  }
  aside.resize(k);
}
static void begin(Conn& c) {  // next message, or QUIT
  if (idle_mode) {
    c.st = IDLE;
    return;
  }
  if (next_msg >= msgs || (per_conn && c.done >= per_conn)) {
    leave(c);
    return;
  }
  c.seq = next_msg++;
  c.in_msg = true;
  c.nrcpt = 0;
  c.ok = 0;
  c.finals = 0;
  c.bad = false;
  c.out += "MAIL FROM:<" + from + ">\r\n";
  c.st = MAIL;
  c.expect = 1;
  auto rc = [&](int i) {
    char b[512];
    snprintf(b, sizeof b, to.c_str(), int((c.seq * rcpts + i) % users));
    return std::string("RCPT TO:<") + b + ">\r\n";
  };
  if (c.pipe) {
    for (int i = 0; i < rcpts; i++) c.out += rc(i);
    c.out += "DATA\r\n";
  }
  flush(c);
}
static void send_rcpt(Conn& c) {
  char b[512];
  snprintf(b, sizeof b, to.c_str(), int((c.seq * rcpts + c.nrcpt) % users));
  c.out += std::string("RCPT TO:<") + b + ">\r\n";
  flush(c);
}
static void send_body(Conn& c) {
  char h[512];
  int n = snprintf(h, sizeof h, "Message-ID: <%ld.%d@load.test>\r\nSubject: load message %ld\r\n", c.seq, int(getpid()),
                   c.seq);
  c.out.append(h, n);
  c.rest = body.size();
  c.dot_queued = true;
  c.st = FINAL;
  c.finals = 0;
  flush(c);
}
static void reply(Conn& c, int code, const std::string& line) {
  switch (c.st) {
    case BANNER:
      if (code != 220) {
        codes[code]++;
        n_connfail++;
        fail(c, line);
        return;
      }
      c.out += lmtp ? "LHLO load.test\r\n" : "EHLO load.test\r\n";
      c.st = EHLO;
      flush(c);
      return;
    case EHLO:
      if (code != 250) {
        fail(c, line);
        return;
      }
      conlat.push_back(float(now() - c.t_conn));
      c.pipe = c.pipe && pipelining;
      begin(c);
      return;
    case MAIL:
      if (code != 250) {
        codes[code]++;
        c.bad = true;
        last_err = line;
        if (!c.pipe) goto over;
      }
      c.st = RCPT;
      if (!c.pipe) send_rcpt(c);
      return;
    case RCPT:
      if (code / 10 == 25)
        c.ok++;
      else {
        codes[code]++;
        c.bad = true;
        last_err = line;
      }
      if (++c.nrcpt < rcpts) {
        if (!c.pipe) send_rcpt(c);
        return;
      }
      if (!c.ok && !c.pipe) goto over;
      c.st = DATA;
      if (!c.pipe) {
        c.out += "DATA\r\n";
        flush(c);
      }
      return;
    case DATA:
      if (code != 354) {
        codes[code]++;
        last_err = line;
        c.bad = true;
        goto over;
      }
      send_body(c);
      return;
    case FINAL:
      if (code / 100 != 2) {
        codes[code]++;
        c.bad = true;
        last_err = line;
      }
      if (++c.finals < (lmtp ? c.ok : 1)) return;
      {
        double t = now();
        if (!c.bad) {
          lat.push_back(float(t - c.t_dot));
          n_ok++;
          if (!t_first_ok) t_first_ok = t;
          t_last_ok = t;
        } else
          n_fail++;
      }
      c.in_msg = false;
      c.done++;
      begin(c);
      return;
    case QUIT:
      drop(c);
      if (per_conn && next_msg < msgs) start(c);
      return;
    default:
      fail(c, line);
      return;
  }
over:
  c.in_msg = false;
  n_fail++;
  c.done++;
  if (next_msg >= msgs) {
    leave(c);
    return;
  }
  drop(c);
  start(c);
}
static void readable(Conn& c) {
  char b[8192];
  int fd = c.fd;
  ssize_t r = recv(c.fd, b, sizeof b, 0);
  if (r < 0 && errno == EAGAIN) return;
  if (r <= 0) {
    if (c.st == QUIT) {
      drop(c);
      if (per_conn && next_msg < msgs) start(c);
      return;
    }
    fail(c, r ? strerror(errno) : "closed by the server");
    if (next_msg < msgs && !idle_mode && n_connfail < 1000) {
      start(c);
    }
    return;
  }
  c.in.append(b, r);
  size_t p = 0, e;
  while (c.fd == fd && c.st != DEAD && (e = c.in.find('\n', p)) != std::string::npos) {
    std::string line = c.in.substr(p, e - p);
    p = e + 1;
    if (c.st == EHLO && line.find("PIPELINING") != std::string::npos) c.pipe = true;
    if (line.size() >= 4 && line[3] == '-') continue;
    double t = c.t_conn;
    reply(c, atoi(line.c_str()), line);
    if (c.t_conn != t) return;  // the slot now holds a new connection
  }
  if (c.fd == fd && c.st != DEAD) c.in.erase(0, p);
}

int main(int n, char** v) {
  std::string unused;  // --user and --pass: so that the generators take the same words
  read_options(n, v,
               {text("--host", host), number("--port", port), number("--conns", conns, 0, 10000),
                number("--msgs", msgs, 0L, 5000000L), number("--size", size, 0L, 100L << 20),
                number("--rcpts", rcpts, 0, 1000), number("--users", users), text("--to", to), text("--from", from),
                number("--pipeline", pipelining), number("--per-conn", per_conn), number("--lmtp", lmtp),
                number("--max-s", max_s, 0., 3600.), number("--quit-wait", quit_wait), number("--idle", idle_mode),
                number("--hold-s", hold_s, 0., 600.), text("--user", unused), text("--pass", unused)});
  addr = loopback("smtpload", host, port);
  body = "From: <" + from +
         ">\r\nTo: <user@test.local>\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: "
         "text/plain; charset=utf-8\r\n\r\n";
  static const char* w[] = {"lorem", "ipsum",  "dolor", "sit",     "amet",     "consectetur", "adipiscing", "elit",
                            "mail",  "server", "queue", "message", "delivery", "the",         "and",        "of"};
  unsigned x = 7;
  size_t line = 0;
  while (long(body.size()) < size - 110) {
    x = x * 1664525u + 1013904223u;
    const char* s = w[x >> 28];
    body += s;
    line += strlen(s) + 1;
    if (line > 68) {
      body += "\r\n";
      line = 0;
    } else
      body += ' ';
  }
  body += "\r\n.\r\n";
  cs.resize(conns);
  ep = epoll_create1(EPOLL_CLOEXEC);
  double t0 = now(), t_all_idle = 0;
  size_t started = 0;
  epoll_event ev[256];
  for (; started < cs.size() && (idle_mode ? started < 4 : true); started++) start(cs[started]);
  while (live > 0 && now() - t0 < max_s && (idle_mode || n_ok + n_fail < msgs)) {
    int k = epoll_wait(ep, ev, 256, 200);
    for (int i = 0; i < k; i++) {
      Conn& c = cs[ev[i].data.u32];
      if (c.fd < 0) continue;
      if (c.st == CONNECTING) {
        int err = 0;
        socklen_t l = sizeof err;
        getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &err, &l);
        if (err) {
          n_connfail++;
          fail(c, strerror(err));
          continue;
        }
        c.st = BANNER;
        arm(c, false);
      } else if (ev[i].events & EPOLLOUT) {
        if (!flush(c)) continue;
      }
      if (c.fd >= 0 && (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) readable(c);
    }
    if (!aside.empty() && (live == 0 || aside.size() > 32 || now() - aside.front().second > .05)) sweep(false);
    if (idle_mode) {
      size_t up = std::count_if(cs.begin(), cs.begin() + started, [](Conn&c) { return c.st == IDLE; }),
             dead = std::count_if(cs.begin(), cs.begin() + started, [](Conn&c) { return c.st == DEAD; });
      while (started < cs.size() && started - up - dead < 4) start(cs[started++]);
      if (up + dead == cs.size() && !t_all_idle) {
        t_all_idle = now();
        fprintf(stderr, "idle: %zu up, %zu dead after %.2f s\n", up, dead, t_all_idle - t0);
      }
      if (t_all_idle && now() - t_all_idle > hold_s) {
        n_ok = long(up);
        break;
      }
    }
  }
  double el = (idle_mode ? (t_all_idle ? t_all_idle : now()) : (t_last_ok ? t_last_ok : now())) - t0;
  for (double t = now(); !aside.empty() && now() - t < 1;) {
    usleep(10000);
    sweep(false);
  }
  sweep(true);
  long lost = 0;
  for (auto& c : cs)
    if (c.in_msg) lost++;
  std::string cc;
  for (auto& [k, m] : codes) cc += (cc.empty() ? "" : ",") + ("\"" + std::to_string(k) + "\":" + std::to_string(m));
  printf(
      "{\"tool\":\"smtpload\",\"conns\":%d,\"size\":%ld,\"rcpts\":%d,\"per_conn\":%d,\"pipeline\":%d,\"ok\":%ld,"
      "\"failed\":%ld,\"unfinished\":%ld,\"connections\":%ld,\"conn_failed\":%ld,\"secs\":%.3f,\"msgs_per_s\":%.1f,"
      "\"MB_per_s\":%.2f,\"final_p50_ms\":%.3f,\"final_p99_ms\":%.3f,\"final_max_ms\":%.3f,\"ehlo_p50_ms\":%.3f,"
      "\"codes\":{%s},\"last_error\":\"%s\"}\n",
      conns, size, rcpts, per_conn, pipelining, n_ok, n_fail, lost, n_conn, n_connfail, el, double(n_ok) / el,
      double(n_ok) * double(size) / el / 1e6, pct(lat, .5), pct(lat, .99), pct(lat, 1), pct(conlat, .5), cc.c_str(),
      esc(last_err).c_str());
  return n_ok == (idle_mode ? conns : msgs) ? 0 : 1;
}
