// imapload --mode idle: many connections in IDLE, and how soon each hears of a new message.
#include <fcntl.h>
#include <sys/epoll.h>

#include <string_view>
#include <thread>

#include "bench/imapload.h"

using namespace load;

void do_idle() {
  struct C {
    int fd = -1;
    int st = 0;
    std::string in;
    double t0 = 0;
    double noticed = 0;
  };
  std::vector<C> cs(set.conns);
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
          say(c, "a LOGIN \"" + user_of(idx) + "\" \"" + set.pass + "\"\r\n");
        } else if (c.st == 1 && l.substr(0, 2) == "a ") {
          if (l.substr(0, 4) != "a OK") {
            lose(c, std::string(l));
            break;
          }
          c.st = 2;
          say(c, "b SELECT \"" + set.mailbox + "\"\r\n");
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
  while (up + dead < cs.size() && now() < set.t_end) {
    while (started < cs.size() && started - up - dead < 32) {
      C& c = cs[started];
      c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      int one = 1;
      setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      c.t0 = now();
      if (connect(c.fd, (sockaddr*)&set.addr, sizeof set.addr)) {
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
  for (double h = now(); now() - h < set.hold_s;) pump(100);
  std::vector<double> delay;
  long missed = 0, expected = 0;
  auto ms = load_messages();
  for (int k = 0; k < set.notices && now() < set.t_end; k++) {
    for (auto& c : cs) c.noticed = 0;
    int u = k % set.users;
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
        a.put(t + " APPEND \"" + set.mailbox + "\" {" + std::to_string(m.size()) + "}\r\n");
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
        if (int(i) % set.users == u && cs[i].st == 4 && !cs[i].noticed) w++;
      return w;
    };
    double lim = now() + std::min(set.max_s, 35.0);
    while ((!done || waiting()) && now() < lim) pump(20);
    ap.join();
    for (size_t i = 0; i < cs.size(); i++)
      if (int(i) % set.users == u && cs[i].st == 4) {
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
      set.conns, n_up, t_up, double(n_up) / t_up, pct(ready, .5), expected, missed, pct(delay, .5), pct(delay, .99),
      pct(delay, 1), failures.load(), esc(error).c_str());
}
