// What the load generators share: the clock, options, connections over loopback, figures.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace load {

/// Seconds of CLOCK_MONOTONIC.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Option {
  std::string name;
  std::function<void(const std::string&)> set;
};
inline Option text(std::string name, std::string& to) {
  return {std::move(name), [&to](const std::string& value) { to = value; }};
}
/// What is out of bounds becomes the bound.
template <class T>
Option number(std::string name, T& to, T least = std::numeric_limits<T>::lowest(),
              T most = std::numeric_limits<T>::max()) {
  return {std::move(name), [&to, least, most](const std::string& value) {
            if constexpr (std::is_floating_point_v<T>)
              to = std::clamp(T(std::stod(value)), least, most);
            else
              to = T(std::clamp(std::stol(value), long(least), long(most)));
          }};
}
/// Options come in pairs, a name and its value; an unknown one ends the program with 2.
inline void read_options(int n, char** v, const std::vector<Option>& options) {
  for (int i = 1; i + 1 < n; i += 2) {
    const auto found = std::find_if(options.begin(), options.end(), [&](const Option& o) { return o.name == v[i]; });
    if (found == options.end()) {
      fprintf(stderr, "unknown option %s\n", v[i]);
      exit(2);
    }
    found->set(v[i + 1]);
  }
}

/// An address of 127.0.0.0/8; any other one ends the program with 2. From here on SIGPIPE is ignored.
inline sockaddr_in loopback(const char* tool, const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(uint16_t(port));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1 || (ntohl(address.sin_addr.s_addr) >> 24) != 127) {
    fprintf(stderr, "%s: loopback addresses only\n", tool);
    exit(2);
  }
  signal(SIGPIPE, SIG_IGN);
  return address;
}

struct Failure {
  std::string what;
};

/// A connection that blocks, with a buffer for what it receives.
class Connection {
 public:
  explicit Connection(size_t octets) : buf(octets) {}
  ~Connection() {
    if (fd >= 0) close(fd);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// @param seconds  that one recv() may take
  void open(const sockaddr_in& address, double seconds) {
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    timeval tv{time_t(seconds) + 1, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (connect(fd, (const sockaddr*)&address, sizeof address))
      throw Failure{std::string("connect: ") + strerror(errno)};
  }
  void put(const char* p, size_t n) {
    while (n) {
      ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
      if (r <= 0) throw Failure{std::string("send: ") + strerror(errno)};
      p += r;
      n -= size_t(r);
    }
  }
  void put(const std::string& s) { put(s.data(), s.size()); }

 protected:
  /// The octets up to the next line end, which is a part of them; valid until the next call.
  std::pair<char*, size_t> read_line() {
    char* e;
    size_t from = pos;
    while (!(e = (char*)memchr(&buf[from], '\n', len - from))) {
      size_t off = len - pos;
      fill();
      from = pos + off;
    }
    char* p = &buf[pos];
    size_t n = size_t(e - p) + 1;
    pos += n;
    return {p, n};
  }
  void skip(size_t n) {
    while (n > 0) {
      if (pos == len) {
        pos = len = 0;
        fill();
      }
      size_t k = std::min(n, len - pos);
      pos += k;
      n -= k;
    }
  }

 private:
  void fill() {
    if (pos) {
      memmove(&buf[0], &buf[pos], len - pos);
      len -= pos;
      pos = 0;
    }
    if (len == buf.size()) buf.resize(buf.size() * 2);
    ssize_t r = recv(fd, &buf[len], buf.size() - len, 0);
    if (r <= 0) throw Failure{r ? strerror(errno) : "closed by the server"};
    len += size_t(r);
  }

  int fd = -1;
  std::vector<char> buf;
  size_t pos = 0, len = 0;
};

/// Of seconds, in milliseconds; 0 of nothing.
template <class T>
double pct(std::vector<T> v, double q) {
  if (v.empty()) return 0;
  size_t k = std::min(v.size() - 1, size_t(q * double(v.size())));
  std::nth_element(v.begin(), v.begin() + long(k), v.end());
  return double(v[k]) * 1e3;
}
/// Fit to stand between the quotes of JSON.
inline std::string esc(std::string s) {
  for (auto& c : s)
    if (c == '"' || c == '\\' || (unsigned char)c < 32) c = '\'';
  return s;
}

}  // namespace load
