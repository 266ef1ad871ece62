// A loop over many independent items, on several threads where there are enough of them.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace mail::store {

/// 0: one per core.
inline unsigned threads_of(unsigned wanted) {
  return wanted == 0 ? std::max(1U, std::thread::hardware_concurrency()) : wanted;
}

/// Calls function(i) for 0..count-1. `threads` 0: one per core. Below `least` items all run here.
template <class Function>
void in_parallel(std::size_t count, unsigned threads, std::size_t least, Function&& function) {
  threads = threads_of(threads);
  if (count < least || threads == 1) {
    for (std::size_t i = 0; i < count; ++i) function(i);
    return;
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (;;) {
      const auto from = next.fetch_add(64);
      if (from >= count) return;
      for (auto i = from; i < std::min(from + 64, count); ++i) function(i);
    }
  };
  std::vector<std::thread> helpers;
  for (unsigned t = 1; t < threads; ++t) helpers.emplace_back(work);
  work();
  for (auto& helper : helpers) helper.join();
}

}  // namespace mail::store
