// Greylisting (RFC 6647): who comes with an unknown triple of network, sender and recipient is asked to come again.
// Kept in SQLite; thread-safe, and blocking: called on the worker pool.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/ip_address.h"
#include "base/result.h"

struct sqlite3;

namespace mail::mta {

class Greylist {
 public:
  struct Settings {
    std::chrono::seconds delay{300};
    std::chrono::seconds window{172800};  ///< A second try later than this is a first one.
    std::chrono::seconds keep{3024000};   ///< A triple that passed and is not seen for so long is forgotten.
  };
  static Result<std::unique_ptr<Greylist>> open(const std::string& path, Settings settings, const Clock& clock);
  ~Greylist();

  /// How long the client still has to wait; zero: it may pass. IPv4 clients are taken by /24, IPv6 by /64: large
  /// senders try again from a neighbouring host.
  Result<std::chrono::seconds> check(const IpAddress& client, std::string_view sender, std::string_view recipient);
  /// Forgets what is too old; the number of triples forgotten. check() does so by itself once an hour.
  Result<int> sweep();

 private:
  Greylist(sqlite3* database, Settings settings, const Clock& clock)
      : database_(database), settings_(settings), clock_(clock) {}
  Status execute(const char* sql);
  Result<int> sweep_at(std::int64_t now);

  sqlite3* database_;
  Settings settings_;
  const Clock& clock_;
  std::mutex mutex_;
  std::int64_t swept_ = 0;
};

}  // namespace mail::mta
