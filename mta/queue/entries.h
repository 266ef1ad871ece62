// What `mta queue` sees of a spool: read from its files alone, so it is right whether the relay runs or not.
#pragma once
#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mta/queue/destinations.h"
#include "mta/relay/attempts_log.h"
#include "spool/reader.h"

namespace mail::queue {

enum class State {
  ready,     ///< Tried as soon as a connection is free.
  deferred,  ///< Waits for its time.
  held,      ///< Set aside by an operator.
  local,     ///< In spool/local, for mda.
  damaged,   ///< In spool/corrupt.
};
std::string_view to_string(State state);
/// What stands behind the last `@`; empty where there is none.
std::string_view domain_of(std::string_view address);
std::optional<State> parse_state(std::string_view word);

/// A message of the spool as an operator sees it.
struct Entry {
  spool::Box box = spool::Box::queue;
  spool::Envelope envelope;
  State state = State::ready;
  std::uint64_t octets = 0;
  std::map<std::size_t, relay::AttemptNote> notes;  ///< Last failure of each recipient.
  std::vector<std::string> reasons;                 ///< Why its destinations as a whole wait, each once.
  std::optional<WallTime> destinations_wait;        ///< Until when the first of them does.
  /// When it is tried next, as far as is known; in the past: now.
  WallTime next_attempt() const { return std::max(envelope.next_attempt, destinations_wait.value_or(WallTime{})); }
};

/// Which messages a command is for; what is not set does not matter. Addresses match as a whole, or by a part of them
/// where `*` stands at an end.
struct Filter {
  std::vector<std::string> ids;
  std::string sender;  ///< "<>" is the null reverse-path.
  std::string recipient;
  std::string domain;  ///< Of an open recipient.
  std::optional<std::chrono::seconds> older, younger;
  std::optional<State> state;
  bool local_deferred = false;  ///< Of spool/local only what has been tried in vain.
  bool empty() const {
    return ids.empty() && sender.empty() && recipient.empty() && domain.empty() && !older && !younger && !state;
  }
};
/// Whether all but the ids holds, which each_entry() goes by.
bool matches(const Filter& filter, const Entry& entry, WallTime now);

/// Calls `act` with the messages of the boxes that match, oldest first, some hundreds at a time: a queue may hold a
/// million. Those that vanish meanwhile are left out.
/// @param routes  tells which destination a recipient's mail takes; null: that of his domain
Status each_entry(const spool::Spool& spool, const std::vector<spool::Box>& boxes, const Filter& filter, WallTime now,
                  const std::function<void(const std::vector<Entry>&)>& act, Destinations* routes = nullptr);

/// As people read it, and as programs do.
std::string as_text(const Entry& entry, WallTime now);
std::string as_json(const Entry& entry, WallTime now);
/// Everything about one message: envelope, attempts, header.
std::string in_full(const spool::Spool& spool, const Entry& entry, WallTime now);
/// "3m", "5h", "2d"
std::string age_text(std::chrono::seconds age);

}  // namespace mail::queue
