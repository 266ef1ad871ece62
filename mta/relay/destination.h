// What the queue manager holds in memory: per message some forty octets, per destination its queues and its luck.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/id.h"
#include "mta/relay/outbound.h"
#include "mta/relay/targets.h"

namespace mail::relay {

/// Seconds since 1970: half the size of a time point, good until 2106.
using Seconds = std::uint32_t;
Seconds to_seconds(WallTime time);
WallTime from_seconds(Seconds seconds);

/// An id without its allocation.
struct CompactId {
  std::array<char, MessageId::kLength> text{};
  CompactId() = default;
  explicit CompactId(const MessageId& id) { std::memcpy(text.data(), id.text().data(), text.size()); }
  MessageId id() const { return *MessageId::parse({text.data(), text.size()}); }
  auto operator<=>(const CompactId&) const = default;
};
struct CompactIdHash {
  std::size_t operator()(const CompactId& id) const noexcept {
    return std::hash<std::string_view>{}({id.text.data(), id.text.size()});
  }
};

/// One message's recipients at one destination. Who they are is in the spool file.
struct Job {
  CompactId id;
  Seconds arrival = 0;
  Seconds next = 0;  ///< Not before.
  std::uint16_t attempts = 0;
  std::uint8_t lane = 0;            ///< From the sender: one who sends much delays himself only.
  std::uint8_t warned : 1 = 0;      ///< The delay was reported (or nobody asked).
  std::uint8_t report : 1 = 0;      ///< Its reverse-path is null.
  std::uint8_t precedence : 5 = 9;  ///< MT-PRIORITY (RFC 6710) and nine: 0 … 18.
};
static_assert(sizeof(Job) == 28);

/// Jobs that may be sent now: the highest priority first, and within it a lane per group of senders, served in turn.
class Lanes {
 public:
  static constexpr std::size_t kLanes = 256;
  void push(const Job& job);
  std::optional<Job> pop();
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Takes out the jobs for which `take` is true.
  template <class Take>
  std::vector<Job> take_if(Take take) {
    std::vector<Job> taken;
    for (auto at = lanes_.begin(); at != lanes_.end();) {
      auto& lane = at->second;
      std::vector<Job> left;
      for (std::size_t i = lane.first; i < lane.jobs.size(); ++i)
        (take(lane.jobs[i]) ? taken : left).push_back(lane.jobs[i]);
      lane.jobs = std::move(left);
      lane.first = 0;
      at = lane.jobs.empty() ? lanes_.erase(at) : std::next(at);
    }
    size_ -= taken.size();
    return taken;
  }

 private:
  struct Lane {
    std::vector<Job> jobs;
    std::size_t first = 0;
  };
  /// The upper octet falls with the priority, so that the first key is one of the highest.
  static std::uint16_t key_of(const Job& job) {
    return static_cast<std::uint16_t>((18 - job.precedence) << 8 | job.lane);
  }
  std::map<std::uint16_t, Lane> lanes_;
  std::size_t size_ = 0;
  std::uint16_t turn_ = 0;
};

/// Jobs that wait for their time.
class Deferred {
 public:
  void push(const Job& job);
  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  Seconds first() const { return heap_.front().next; }
  Job pop();
  template <class Take>
  std::vector<Job> take_if(Take take) {
    std::vector<Job> taken, left;
    for (const auto& job : heap_) (take(job) ? taken : left).push_back(job);
    heap_ = std::move(left);
    heapify();
    return taken;
  }

 private:
  void heapify();
  std::vector<Job> heap_;
};

/// How long to wait after so many failed attempts: doubles from `first` to `most`, a tenth more or less by chance, so
/// that what failed together does not come back together (RFC 5321 section 4.5.4.1).
Seconds retry_after(std::chrono::seconds first, std::chrono::seconds most, unsigned attempts);

/// How many messages may leave for a destination now: they come back evenly over the time of the rate, and hardly more
/// than a second's worth is saved up.
class Allowance {
 public:
  explicit Allowance(std::optional<config::Rate> rate) : rate_(rate), left_(most()) {}
  bool limited() const { return rate_.has_value(); }
  /// Whole messages; many without a rate.
  std::size_t left(SteadyTime now);
  void take() { left_ -= 1; }
  bool full(SteadyTime now) { return left(now), left_ >= most(); }

 private:
  double most() const;
  std::optional<config::Rate> rate_;
  double left_ = 0;
  SteadyTime counted_{};
};

struct Destination {
  Destination(NextHop h, std::optional<config::Rate> rate) : hop(std::move(h)), allowance(rate) {}
  NextHop hop;
  Allowance allowance;
  Lanes ready;
  Deferred deferred;
  Seconds not_before = 0;  ///< None of its hosts could be reached: one attempt per destination, not per message.
  unsigned failures = 0;   ///< In a row.
  double window = 2;       ///< Connections that may be open: one more per round of successes, half on a failure.
  std::string last_error;  ///< For people.
  Seconds flushed = 0;     ///< When somebody asked for it last.
  Seconds wake = 0;        ///< Its entry in the manager's time table; 0: none.
  bool waits = false;      ///< In the list of those that wait for a free connection or look-up.
  std::size_t judged = 0;  ///< Jobs that are about to be told that they failed.
  std::vector<HostAddress> hosts;
  SteadyTime hosts_known_until{};
  std::unique_ptr<TargetLookup> lookup;
  std::vector<std::unique_ptr<Outbound>> connections;

  std::size_t jobs() const { return ready.size() + deferred.size() + judged; }
};

}  // namespace mail::relay
