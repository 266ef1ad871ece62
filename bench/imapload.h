// imapload's settings, its client, and its modes.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "bench/load.h"

/// The command line; imapload.cpp says what each is.
struct Settings {
  std::string host = "127.0.0.1", user = "user0", pass = "pass", mailbox = "INBOX", mode = "ops", ops = "select,flags",
              dest = "bench-dest", corpus;
  int port = 0, conns = 1, users = 1, batch = 1, reps = 1, notices = 5;
  long count = 100, size = 4096;
  double max_s = 120, hold_s = 0;
  sockaddr_in addr{};
  double t_end = 0;
};
inline Settings set;

inline std::string user_of(int i) {
  char b[256];
  snprintf(b, sizeof b, set.user.c_str(), i % set.users);
  return b;
}

struct Imap : load::Connection {
  int tag = 0;
  std::string caps;
  long exists = 0;
  struct Res {
    long untagged = 0, fetches = 0, octets = 0;
    double first = 0;
    std::string status;
    long hits = 0;
  };
  Imap() : Connection(1 << 20) {}
  void open() {
    Connection::open(set.addr, set.max_s);
    std::string h;
    long z;
    line(h, z);
    if (h.compare(0, 4, "* OK")) throw load::Failure{"greeting: " + h};
  }
  // One logical response: literals skipped and counted, first 200 octets kept.
  void line(std::string& head, long& octets) {
    head.clear();
    octets = 0;
    for (;;) {
      auto [start, n] = read_line();
      octets += long(n);
      if (head.size() < 200) head.append(start, std::min(n, 200 - head.size()));
      long lit = -1;
      if (const char* e = start + n - 1; n >= 5 && e[-1] == '\r' && e[-2] == '}') {
        const char* p = e - 3;
        while (p > start && (isdigit(*p) || *p == '+')) p--;
        if (*p == '{') lit = atol(p + 1);
      }
      if (lit < 0) return;
      octets += lit;
      skip(size_t(lit));
    }
  }
  Res finish(const std::string& t, double t0) {
    Res r;
    std::string h;
    long o;
    for (;;) {
      line(h, o);
      r.octets += o;
      if (!r.first) r.first = load::now() - t0;
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
        if (r.status.compare(0, 2, "OK")) throw load::Failure{"answer: " + h.substr(0, 150)};
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
    double t0 = load::now();
    put(t + " " + c + "\r\n");
    return finish(t + " ", t0);
  }
  void login(int i) { cmd("LOGIN \"" + user_of(i) + "\" \"" + set.pass + "\""); }
};

// What went wrong, of all connections.
inline std::mutex mu;
inline std::string error;
inline std::atomic<long> failures;
inline void note(const std::string& e) {
  std::lock_guard g(mu);
  error = e;
  failures++;
}
/// A thread for each connection, which does f(its number).
void each(const std::function<void(int)>& f);
/// What APPEND sends, lines ending in CRLF.
std::vector<std::string> load_messages();

void do_append();
void do_login();
void do_ops();   // imapload_ops.cpp
void do_idle();  // imapload_idle.cpp
