// Slows down who guesses passwords: a growing delay, then a lock-out, per address prefix and per account. Memory is
// bounded.
#pragma once
#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"

namespace mail::directory {

class Throttle {
 public:
  struct Options {
    int free_failures = 3;                        ///< Typing errors that cost nothing.
    std::chrono::milliseconds first_delay{1000};  ///< Doubles with each further failure...
    std::chrono::milliseconds most_delay{15000};  ///< ...up to this.
    int address_failures = 30;                    ///< Then an address prefix is locked out; 0: never.
    int account_failures = 60;  ///< Then an account is, except for addresses that logged in to it before; 0: never.
    std::chrono::seconds lock_out{900};
    std::chrono::seconds forget_after{3600};  ///< Since the last failure.
    int ipv4_prefix = 32;
    int ipv6_prefix = 64;
    std::size_t most_entries = 65536;  ///< Each table; the entry that was idle longest is forgotten first.
  };
  struct Verdict {
    bool locked = false;                 ///< Refuse without checking, with the text of a wrong password.
    std::chrono::milliseconds delay{0};  ///< Wait this long before the refusal is sent, if it becomes one.
  };

  explicit Throttle(Options options, const Clock& clock = Clock::system());
  /// Asked before each check. `address` is the peer's as text ("192.0.2.1", "2001:db8::1", anything else is taken as it
  /// is).
  Verdict ask(std::string_view address, std::string_view account) const;
  void failed(std::string_view address, std::string_view account);
  void succeeded(std::string_view address, std::string_view account);
  std::size_t entries() const;
  /// The prefix an address is counted under: "192.0.2.1", "2001:db8:0:1::/64"; an IPv4-mapped address counts as the
  /// IPv4 one.
  std::string prefix(std::string_view address) const;

 private:
  struct Entry {
    std::string key;
    int failures = 0;
    SteadyTime last{};
    SteadyTime locked_until{};
  };
  struct Table {
    std::list<Entry> recent;                                                  // most recent first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key;  // views into the entries
  };
  const Entry* find(const Table& table, std::string_view key) const;
  Entry& touch(Table& table, std::string_view key);
  void erase(Table& table, std::string_view key);
  void count(Table& table, std::string_view key, int most);

  Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Table addresses_, accounts_, known_;  // known_: "address\0account" that logged in
};

}  // namespace mail::directory
