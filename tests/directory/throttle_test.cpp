#include "directory/throttle.h"

#include <catch2/catch.hpp>

using namespace mail;
using namespace mail::directory;
using namespace std::chrono_literals;

namespace {
Throttle::Options small() {
  Throttle::Options options;
  options.free_failures = 2;
  options.first_delay = 1s;
  options.most_delay = 8s;
  options.address_failures = 10;
  options.account_failures = 20;
  options.lock_out = 60s;
  options.forget_after = 600s;
  options.most_entries = 100;
  return options;
}
}  // namespace

TEST_CASE("the delay grows with each failure, up to a limit, and is forgotten") {
  ManualClock clock(WallTime{});
  Throttle throttle(small(), clock);
  std::vector<long> delays;
  for (int i = 0; i < 8; ++i) {
    delays.push_back(throttle.ask("192.0.2.1", "ann").delay.count());
    throttle.failed("192.0.2.1", "ann");
  }
  CHECK(delays == std::vector<long>{0, 0, 1000, 2000, 4000, 8000, 8000, 8000});
  clock.advance(601s);
  CHECK(throttle.ask("192.0.2.1", "ann").delay == 0ms);
}

TEST_CASE("an address that guesses at many accounts is locked out, and let in again") {
  ManualClock clock(WallTime{});
  Throttle throttle(small(), clock);
  for (int i = 0; i < 10; ++i) throttle.failed("192.0.2.1", "user" + std::to_string(i));
  CHECK(throttle.ask("192.0.2.1", "ann").locked);
  CHECK_FALSE(throttle.ask("192.0.2.2", "ann").locked);
  clock.advance(61s);
  CHECK_FALSE(throttle.ask("192.0.2.1", "ann").locked);
}

TEST_CASE("an account that many addresses guess at is locked for all but who logged in before") {
  ManualClock clock(WallTime{});
  Throttle throttle(small(), clock);
  throttle.succeeded("198.51.100.7", "Ann");
  for (int i = 0; i < 20; ++i) throttle.failed("192.0.2." + std::to_string(i), "ann");
  CHECK(throttle.ask("203.0.113.1", "ANN").locked);
  CHECK_FALSE(throttle.ask("198.51.100.7", "ann").locked);
}

TEST_CASE("addresses count under their prefix") {
  const Throttle throttle(small());
  CHECK(throttle.prefix("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
  CHECK(throttle.prefix("192.0.2.1") == "192.0.2.1");
  CHECK(throttle.prefix("::ffff:192.0.2.1") == "192.0.2.1");
  CHECK(throttle.prefix("unix") == "unix");
}

TEST_CASE("one success does not wipe out an address's failures at others") {
  ManualClock clock(WallTime{});
  Throttle throttle(small(), clock);
  for (int i = 0; i < 6; ++i) throttle.failed("192.0.2.1", "user" + std::to_string(i));
  throttle.succeeded("192.0.2.1", "mallory");
  CHECK(throttle.ask("192.0.2.1", "victim").delay > 0ms);
}

TEST_CASE("memory is bounded") {
  Throttle throttle(small());
  for (int i = 0; i < 5000; ++i)
    throttle.failed("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250), "user" + std::to_string(i));
  CHECK(throttle.entries() == 200);
}
