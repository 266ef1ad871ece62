#include "mta/relay/jobs.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

namespace mail::relay {

namespace {
constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // base/id.h
/// The heap's front is the earliest.
bool later(const Job& a, const Job& b) { return a.next > b.next; }

constexpr std::array<std::uint8_t, 256> values() {
  std::array<std::uint8_t, 256> out{};
  for (std::size_t i = 0; i < kAlphabet.size(); ++i)
    out[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  return out;
}
constexpr auto kValues = values();
constexpr std::size_t kAtOnce = 8;  // characters, which five octets hold
}  // namespace

Seconds to_seconds(WallTime time) {
  return static_cast<Seconds>(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

WallTime from_seconds(Seconds seconds) { return WallTime(std::chrono::seconds(seconds)); }

CompactId::CompactId(const MessageId& id) {
  const auto& text = id.text();
  for (std::size_t half = 0; half < text.size() / kAtOnce; ++half) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < kAtOnce; ++i)
      bits = bits << 5 | kValues[static_cast<unsigned char>(text[half * kAtOnce + i])];
    for (std::size_t i = 0; i < 5; ++i) octets[half * 5 + i] = static_cast<std::uint8_t>(bits >> (8 * (4 - i)));
  }
}

MessageId CompactId::id() const {
  std::array<char, MessageId::kLength> text{};
  for (std::size_t half = 0; half < text.size() / kAtOnce; ++half) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 5; ++i) bits = bits << 8 | octets[half * 5 + i];
    for (std::size_t i = 0; i < kAtOnce; ++i) text[half * kAtOnce + i] = kAlphabet[bits >> (5 * (7 - i)) & 31];
  }
  return *MessageId::parse({text.data(), text.size()});
}

std::size_t CompactIdHash::operator()(const CompactId& id) const noexcept {
  // The time in the front half differs little between neighbours, the salt behind it not at all.
  std::uint64_t front = 0;
  std::memcpy(&front, id.octets.data(), sizeof front);
  std::uint16_t back = 0;
  std::memcpy(&back, id.octets.data() + sizeof front, sizeof back);
  front = (front ^ back) * 0x9E3779B97F4A7C15U;
  return front ^ front >> 32;
}

Jobs::~Jobs() { std::free(jobs_); }

void Jobs::swap(Jobs& other) noexcept {
  std::swap(jobs_, other.jobs_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
}

void Jobs::push_back(const Job& job) {
  const auto added = job;  // it may be one of ours
  if (size_ == capacity_) {
    const auto capacity = capacity_ == 0 ? 1 : capacity_ * 2;
    auto* grown = static_cast<Job*>(std::realloc(static_cast<void*>(jobs_), capacity * sizeof(Job)));
    if (grown == nullptr) throw std::bad_alloc();
    jobs_ = grown;
    capacity_ = capacity;
  }
  new (jobs_ + size_) Job(added);
  ++size_;
}

void Jobs::erase(Job* first, Job* last) {
  std::move(last, end(), first);
  size_ -= static_cast<std::uint32_t>(last - first);
}

void Jobs::clear() {
  std::free(std::exchange(jobs_, nullptr));
  size_ = capacity_ = 0;
}

void Lanes::Many::push(const Job& job) {
  lanes[key_of(job)].jobs.push_back(job);
  ++size;
}

Job Lanes::Many::pop(std::uint16_t& turn) {
  auto at = lanes.upper_bound(turn);
  if (at == lanes.end() || at->first >> 8 != lanes.begin()->first >> 8) at = lanes.begin();
  turn = at->first;
  auto& lane = at->second;
  const auto job = lane.jobs.begin()[lane.first++];
  --size;
  constexpr std::size_t kCompactAbove = 1024;
  if (lane.first == lane.jobs.size()) {
    lanes.erase(at);
  } else if (lane.first > kCompactAbove && lane.first * std::size_t{2} > lane.jobs.size()) {
    lane.jobs.erase(lane.jobs.begin(), lane.jobs.begin() + lane.first);
    lane.first = 0;
  }
  return job;
}

void Lanes::push(const Job& job) {
  if (!many_ && few_.size() < kFew) return few_.push_back(job);
  if (!many_) {
    many_ = std::make_unique<Many>();
    for (const auto& earlier : few_) many_->push(earlier);
    few_.clear();
  }
  many_->push(job);
}

/// By the rule of Many::pop(): of the highest priority the first lane behind the turn, or the first; its oldest job.
Job* Lanes::next_of_few() {
  const auto rank = [this](const Job& job) {
    const auto key = key_of(job);
    return std::pair{key >> 8, std::pair{key <= turn_, key}};
  };
  return std::min_element(few_.begin(), few_.end(), [&](const Job& a, const Job& b) { return rank(a) < rank(b); });
}

std::optional<Job> Lanes::pop() {
  if (empty()) return std::nullopt;
  if (many_) {
    const auto job = many_->pop(turn_);
    if (many_->size == 0) many_.reset();
    return job;
  }
  auto* const at = next_of_few();
  const auto job = *at;
  turn_ = key_of(job);
  few_.erase(at, at + 1);
  if (few_.empty()) few_.clear();
  return job;
}

void Deferred::push(const Job& job) {
  heap_.push_back(job);
  std::push_heap(heap_.begin(), heap_.end(), later);
}

Job Deferred::pop() {
  std::pop_heap(heap_.begin(), heap_.end(), later);
  const auto job = *(heap_.end() - 1);
  heap_.pop_back();
  if (heap_.empty()) heap_.clear();
  return job;
}

void Deferred::heapify() { std::make_heap(heap_.begin(), heap_.end(), later); }

}  // namespace mail::relay
