// The messages of one destination in memory: who may go now, and who waits for his time. A queue may hold a million,
// each for a destination of its own: every octet counts.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/id.h"

namespace mail::relay {

/// Seconds since 1970: half the size of a time point, good until 2106.
using Seconds = std::uint32_t;
Seconds to_seconds(WallTime time);
WallTime from_seconds(Seconds seconds);

/// An id without its allocation: five bits for each character, in the order of the texts.
struct CompactId {
  std::array<std::uint8_t, MessageId::kLength * 5 / 8> octets{};
  CompactId() = default;
  explicit CompactId(const MessageId& id);
  MessageId id() const;
  auto operator<=>(const CompactId&) const = default;
};
struct CompactIdHash {
  std::size_t operator()(const CompactId& id) const noexcept;
};

/// One message's recipients at one destination. Who they are is in the spool file.
struct Job {
  CompactId id;
  std::uint16_t attempts = 0;
  Seconds arrival = 0;
  Seconds next = 0;                 ///< Not before.
  std::uint8_t lane = 0;            ///< From the sender: one who sends much delays himself only.
  std::uint8_t warned : 1 = 0;      ///< The delay was reported (or nobody asked).
  std::uint8_t report : 1 = 0;      ///< Its reverse-path is null.
  std::uint8_t precedence : 5 = 9;  ///< MT-PRIORITY (RFC 6710) and nine: 0 … 18.
};
static_assert(sizeof(Job) == 24);

/// A vector of jobs whose head is two words, and which has room for one before it has room for two.
class Jobs {
 public:
  Jobs() = default;
  Jobs(Jobs&& other) noexcept { swap(other); }
  Jobs& operator=(Jobs&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Jobs();
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Job* begin() { return jobs_; }
  Job* end() { return jobs_ + size_; }
  const Job* begin() const { return jobs_; }
  const Job* end() const { return jobs_ + size_; }
  void push_back(const Job& job);
  void pop_back() { --size_; }
  void erase(Job* first, Job* last);
  void clear();  ///< Gives the memory back.
  /// Takes out the jobs for which `take` is true, the others keep their order.
  template <class Take>
  void take_if(Take take, std::vector<Job>& taken) {
    auto* keep = begin();
    for (auto& job : *this) {
      if (take(job))
        taken.push_back(job);
      else
        *keep++ = job;
    }
    size_ = static_cast<std::uint32_t>(keep - begin());
    if (empty()) clear();
  }
  void swap(Jobs& other) noexcept;

 private:
  Job* jobs_ = nullptr;
  std::uint32_t size_ = 0, capacity_ = 0;
};

/// Jobs that may be sent now: the highest priority first, and within it a lane per group of senders, served in turn.
class Lanes {
 public:
  static constexpr std::size_t kLanes = 256;
  void push(const Job& job);
  std::optional<Job> pop();
  std::size_t size() const { return many_ ? many_->size : few_.size(); }
  bool empty() const { return size() == 0; }
  /// Takes out the jobs for which `take` is true.
  template <class Take>
  std::vector<Job> take_if(Take take) {
    std::vector<Job> taken;
    if (!many_) {
      few_.take_if(take, taken);
      return taken;
    }
    for (auto at = many_->lanes.begin(); at != many_->lanes.end();) {
      auto& lane = at->second;
      lane.jobs.erase(lane.jobs.begin(), lane.jobs.begin() + lane.first);
      lane.first = 0;
      lane.jobs.take_if(take, taken);
      at = lane.jobs.empty() ? many_->lanes.erase(at) : std::next(at);
    }
    many_->size -= taken.size();
    if (many_->size == 0) many_.reset();
    return taken;
  }

 private:
  static constexpr std::size_t kFew = 8;  // most destinations have no more
  struct Lane {
    Jobs jobs;
    std::uint32_t first = 0;
  };
  struct Many {
    std::map<std::uint16_t, Lane> lanes;
    std::size_t size = 0;
    void push(const Job& job);
    Job pop(std::uint16_t& turn);
  };
  /// The upper octet falls with the priority, so that the first key is one of the highest.
  static std::uint16_t key_of(const Job& job) {
    return static_cast<std::uint16_t>((18 - job.precedence) << 8 | job.lane);
  }
  Job* next_of_few();
  Jobs few_;  // in the order of push(); empty where there are many
  std::unique_ptr<Many> many_;
  std::uint16_t turn_ = 0;
};

/// Jobs that wait for their time.
class Deferred {
 public:
  void push(const Job& job);
  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  Seconds first() const { return heap_.begin()->next; }
  Job pop();
  template <class Take>
  std::vector<Job> take_if(Take take) {
    std::vector<Job> taken;
    heap_.take_if(take, taken);
    heapify();
    return taken;
  }

 private:
  void heapify();
  Jobs heap_;
};

}  // namespace mail::relay
