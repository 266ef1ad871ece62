#include "mta/relay/destination.h"

#include <algorithm>
#include <random>

namespace mail::relay {

namespace {
/// The heap's front is the earliest.
bool later(const Job& a, const Job& b) { return a.next > b.next; }
}  // namespace

Seconds to_seconds(WallTime time) {
  return static_cast<Seconds>(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

WallTime from_seconds(Seconds seconds) { return WallTime(std::chrono::seconds(seconds)); }

void Lanes::push(const Job& job) {
  lanes_[key_of(job)].jobs.push_back(job);
  ++size_;
}

std::optional<Job> Lanes::pop() {
  if (size_ == 0) return std::nullopt;
  auto at = lanes_.upper_bound(turn_);
  if (at == lanes_.end() || at->first >> 8 != lanes_.begin()->first >> 8) at = lanes_.begin();
  turn_ = at->first;
  auto& lane = at->second;
  const auto job = lane.jobs[lane.first++];
  --size_;
  constexpr std::size_t kCompactAbove = 1024;
  if (lane.first == lane.jobs.size()) {
    lanes_.erase(at);
  } else if (lane.first > kCompactAbove && lane.first * 2 > lane.jobs.size()) {
    lane.jobs.erase(lane.jobs.begin(), lane.jobs.begin() + static_cast<std::ptrdiff_t>(lane.first));
    lane.first = 0;
  }
  return job;
}

void Deferred::push(const Job& job) {
  heap_.push_back(job);
  std::ranges::push_heap(heap_, later);
}

Job Deferred::pop() {
  std::ranges::pop_heap(heap_, later);
  const auto job = heap_.back();
  heap_.pop_back();
  return job;
}

void Deferred::heapify() { std::ranges::make_heap(heap_, later); }

double Allowance::most() const {
  if (!rate_) return 0;
  return std::max(1.0, static_cast<double>(rate_->count) * 1000 / static_cast<double>(rate_->time.count()));
}

std::size_t Allowance::left(SteadyTime now) {
  if (!rate_) return SIZE_MAX / 2;  // something may be added to it
  if (counted_ != SteadyTime{}) {
    const std::chrono::duration<double, std::milli> passed = now - counted_;
    left_ += passed.count() * static_cast<double>(rate_->count) / static_cast<double>(rate_->time.count());
  }
  counted_ = now;
  left_ = std::min(left_, most());
  return static_cast<std::size_t>(left_);
}

Seconds retry_after(std::chrono::seconds first, std::chrono::seconds most, unsigned attempts) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  auto wait = std::max<double>(1, static_cast<double>(first.count()));
  const auto limit = std::max(wait, static_cast<double>(most.count()));
  for (unsigned i = 1; i < attempts && wait < limit; ++i) wait *= 2;
  wait = std::min(wait, limit);
  return static_cast<Seconds>(wait * std::uniform_real_distribution<double>(0.9, 1.1)(random) + 0.5);
}

}  // namespace mail::relay
