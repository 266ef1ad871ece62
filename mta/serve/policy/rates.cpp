#include "mta/serve/policy/rates.h"

namespace mail::mta {

bool Rates::allow(std::string_view name, std::size_t amount, std::size_t most) {
  if (most == 0) return true;
  const auto length = std::chrono::duration_cast<std::chrono::milliseconds>(window_).count();
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.steady().time_since_epoch()).count();
  const auto window = time / length;
  const std::lock_guard lock(mutex_);
  forget_old(window);
  auto& count = counts_[std::string(name)];
  if (count.window != window) {
    count.before = count.window + 1 == window ? count.now : 0;
    count.now = 0;
    count.window = window;
  }
  const auto left = static_cast<std::size_t>(length - time % length);
  const auto sum = count.now + count.before * left / static_cast<std::size_t>(length);
  if (sum + amount > most) return false;
  count.now += amount;
  return true;
}

std::size_t Rates::names() const {
  const std::lock_guard lock(mutex_);
  return counts_.size();
}

/// Once per window: memory holds two windows' names.
void Rates::forget_old(std::int64_t window) {
  if (swept_ == window) return;
  swept_ = window;
  std::erase_if(counts_, [&](const auto& entry) { return entry.second.window + 1 < window; });
}

}  // namespace mail::mta
