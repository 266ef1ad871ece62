// Loops over many items, on several threads where there are enough of them.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
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

/// Calls use(i) for 0..count-1 in this thread until one says false, each after prepare(i), which another thread calls
/// ahead of it where there are at least `least` items. Returns whether all were used; what prepare() throws comes here.
template <class Prepare, class Use>
bool prepared_ahead(std::size_t count, unsigned threads, std::size_t least, Prepare&& prepare, Use&& use) {
  constexpr std::size_t kTold = 32;  // the two meet once for so many
  if (count < least || threads_of(threads) == 1) {
    for (std::size_t i = 0; i < count; ++i) {
      prepare(i);
      if (!use(i)) return false;
    }
    return true;
  }
  std::atomic<std::size_t> ready{0};
  std::atomic<bool> stop{false};
  std::exception_ptr thrown;
  std::thread helper([&] {
    try {
      for (std::size_t i = 0; i < count && !stop; ++i) {
        prepare(i);
        if ((i + 1) % kTold != 0 && i + 1 != count) continue;
        ready.store(i + 1, std::memory_order_release);
        ready.notify_one();
      }
    } catch (...) {
      thrown = std::current_exception();
      ready.store(SIZE_MAX, std::memory_order_release);
      ready.notify_one();
    }
  });
  struct Ended {
    std::atomic<bool>& stop;
    std::thread& helper;
    ~Ended() { stop = true, helper.join(); }
  };
  {
    const Ended ended{stop, helper};
    std::size_t there = 0;
    for (std::size_t i = 0; i < count; ++i) {
      while (there <= i) {
        ready.wait(there, std::memory_order_acquire);
        there = ready.load(std::memory_order_acquire);
      }
      if (there == SIZE_MAX) break;
      if (!use(i)) return false;
    }
  }
  if (thrown) std::rethrow_exception(thrown);
  return true;
}

}  // namespace mail::store
