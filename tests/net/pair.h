// Connections between real sockets on one loop, and handlers that remember what happened.
#pragma once
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <optional>
#include <string>

#include "net/connection.h"

namespace mail::test {

using namespace mail::net;
using namespace std::chrono_literals;

struct Recorder : Connection::Handler {
  std::string octets;
  int drained = 0;
  bool tls_started = false;
  bool stays_after_fin = false;
  bool fin = false;
  std::optional<CloseReason> closed;
  UniqueFunction<void(std::string_view)> each;

  void on_octets(std::string_view got) override {
    octets.append(got);
    if (each) each(got);
  }
  void on_drained() override { ++drained; }
  void on_tls_started() override { tls_started = true; }
  bool on_end_of_input() override {
    fin = true;
    return stays_after_fin;
  }
  void on_closed(CloseReason reason) override { closed = reason; }
};

/// Runs the loop until `condition` holds; fails the test after five seconds.
template <class Condition>
void run_until(Loop& loop, Condition condition) {
  const auto limit = std::chrono::steady_clock::now() + 5s;
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() < limit);
    loop.run_once(20ms);
  }
}
inline void run_for(Loop& loop, std::chrono::milliseconds time) {
  const auto limit = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < limit) loop.run_once(5ms);
}

/// Two connections that talk to each other over a socket pair.
struct Pair {
  std::unique_ptr<Loop> loop = std::move(*Loop::open());
  Recorder at_a, at_b;
  std::unique_ptr<Connection> a, b;
  Pair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    a = std::make_unique<Connection>(*loop, UniqueFd(fds[0]), SocketAddress{}, SocketAddress{});
    b = std::make_unique<Connection>(*loop, UniqueFd(fds[1]), SocketAddress{}, SocketAddress{});
    a->set_handler(&at_a);
    b->set_handler(&at_b);
  }
};

}  // namespace mail::test
