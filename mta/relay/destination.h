// What the queue manager holds in memory of a destination: its jobs, its luck, and, while it is worked on, its hosts
// and connections.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mta/relay/jobs.h"
#include "mta/relay/outbound.h"
#include "mta/relay/targets.h"

namespace mail::relay {

/// How long to wait after so many failed attempts: doubles from `first` to `most`, a tenth more or less by chance, so
/// that what failed together does not come back together (RFC 5321 section 4.5.4.1).
Seconds retry_after(std::chrono::seconds first, std::chrono::seconds most, unsigned attempts);

/// How many messages may leave for a destination now: they come back evenly over the time of the rate, and hardly more
/// than a second's worth is saved up.
class Allowance {
 public:
  explicit Allowance(config::Rate rate) : rate_(rate), left_(most()) {}
  /// Whole messages.
  std::size_t left(SteadyTime now);
  void take() { left_ -= 1; }
  bool full(SteadyTime now) { return left(now), left_ >= most(); }

 private:
  double most() const;
  config::Rate rate_;
  double left_ = 0;
  SteadyTime counted_{};
};

/// What was said last by each destination, for people. What many say is kept once, with a gap where they name
/// themselves; beyond some thousand texts the rest is in the log only.
class Words {
 public:
  using Kept = std::shared_ptr<const std::string>;
  Kept keep(const smtp::Reply& reply, const std::string& destination);
  static std::string text(const Kept& kept, const std::string& destination);

 private:
  Kept shared(std::string text);
  std::unordered_map<std::string, std::weak_ptr<const std::string>> texts_;
  std::size_t refused_ = 0;  // since there was no room
};

/// A hundred thousand of them may wait: what a sleeping one needs is here, all else is behind a pointer.
struct Destination {
  /// What an active one has beside.
  struct Awake {
    explicit Awake(NextHop h) : hop(std::move(h)) {}
    NextHop hop;
    std::vector<HostAddress> hosts;
    SteadyTime hosts_known_until{};
    std::unique_ptr<TargetLookup> lookup;
    std::vector<std::unique_ptr<Outbound>> connections;
  };
  /// What cannot be had from the key again.
  struct Particulars {
    std::optional<NextHop> hop;
    std::optional<Allowance> allowance;
    Seconds flushed = 0;  ///< When somebody asked for it last, by name.
  };
  Destination(const NextHop& hop, const std::optional<config::Rate>& rate);

  /// Makes `awake`, where it sleeps.
  Awake& wake_up(const config::Relay& settings);
  /// Where nothing of it is in use. It wakes up by itself when there is something to do.
  void sleep_if_idle();
  /// The key, or for a queue beside another one that one's.
  const std::string& name() const { return particulars && particulars->hop ? particulars->hop->name() : key; }
  std::size_t connections() const { return awake ? awake->connections.size() : 0; }
  bool looks_up() const { return awake && awake->lookup; }
  /// How many messages may leave now; enough without a rate.
  std::size_t allowance(SteadyTime now);
  std::size_t jobs() const { return ready.size() + deferred.size() + judged; }

  std::string key;  ///< NextHop::key
  Lanes ready;
  Deferred deferred;
  std::unique_ptr<Particulars> particulars;  ///< Mostly null: a domain whose MX are asked, without a rate.
  std::unique_ptr<Awake> awake;
  Words::Kept last_error;      ///< Null: it is well.
  Seconds not_before = 0;      ///< None of its hosts could be reached: one attempt per destination, not per message.
  Seconds wake = 0;            ///< When the time table has it; 0: not.
  std::uint32_t place = 0;     ///< The time table's.
  std::uint32_t judged = 0;    ///< Jobs that are about to be told that they failed.
  float window = 2;            ///< Connections that may be open: one more per round of successes, half on a failure.
  std::uint16_t failures = 0;  ///< In a row.
  bool waits = false;          ///< In the list of those that wait for a free connection or look-up.
};
static_assert(sizeof(Destination) <= 136);  // with what malloc adds: 144

/// When which destination has something to do.
class TimeTable {
 public:
  /// @param wake  0: nothing to do
  void set(Destination& destination, Seconds wake);
  /// The one with the earliest time, up to `now`, which leaves the table; null: none.
  Destination* due(Seconds now);

 private:
  void put(std::size_t at, Destination* destination);
  void rise(std::size_t at);
  void sink(std::size_t at);
  std::vector<Destination*> heap_;
};

}  // namespace mail::relay
