// How often something was done in the last while, per name; thread-safe.
#pragma once
#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"

namespace mail::mta {

/// Counts over a window that slides: what happened in the window before counts by the part of it that still lies within
/// the last window's length. Two numbers per name, whatever the rate.
class Rates {
 public:
  Rates(std::chrono::seconds window, const Clock& clock) : window_(window), clock_(clock) {}
  /// Counts `amount` for `name` unless that would exceed `most`; 0: no limit. False: refused, and not counted.
  bool allow(std::string_view name, std::size_t amount, std::size_t most);
  std::size_t names() const;

 private:
  struct Count {
    std::int64_t window = 0;
    std::size_t now = 0, before = 0;
  };
  void forget_old(std::int64_t window);

  std::chrono::seconds window_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Count> counts_;
  std::int64_t swept_ = 0;
};

}  // namespace mail::mta
