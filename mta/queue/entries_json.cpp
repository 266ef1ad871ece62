#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "mta/queue/entries.h"

namespace mail::queue {

namespace {

nlohmann::json address(std::string_view text) { return is_utf8(text) ? std::string(text) : printable(text); }

std::string_view state_word(spool::RecipientState state) {
  switch (state) {
    case spool::RecipientState::waiting:
    case spool::RecipientState::warned:
      return "waiting";
    case spool::RecipientState::delivered:
    case spool::RecipientState::report_success:
      return "delivered";
    case spool::RecipientState::failed:
      return "failed";
    case spool::RecipientState::bounced:
      return "bounced";
  }
  return {};
}

std::int64_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

std::string as_json(const Entry& entry, WallTime now) {
  const auto& e = entry.envelope;
  nlohmann::json one{{"id", e.id.text()},
                     {"box", spool::name_of(entry.box)},
                     {"state", to_string(entry.state)},
                     {"arrival", seconds(e.arrival)},
                     {"age", seconds(now) - seconds(e.arrival)},
                     {"octets", entry.octets},
                     {"sender", address(e.reverse_path)},
                     {"client", e.client_address},
                     {"user", address(e.authenticated_user)},
                     {"attempts", e.attempts},
                     {"next_attempt", seconds(entry.next_attempt())}};
  if (e.priority != 0) one["priority"] = e.priority;
  if (e.hold_until) one["hold_until"] = seconds(*e.hold_until);
  if (e.deliver_by) one["deliver_by"] = seconds(*e.deliver_by);
  if (!entry.reasons.empty()) one["reason"] = printable(join(entry.reasons, "; "));
  one["recipients"] = nlohmann::json::array();
  for (std::size_t i = 0; i < e.recipients.size(); ++i) {
    nlohmann::json r{{"address", address(e.recipients[i].forward_path)}, {"state", state_word(e.recipients[i].state)}};
    if (const auto note = entry.notes.find(i); note != entry.notes.end()) {
      r["status"] = printable(note->second.status);
      r["reply"] = printable(note->second.reply);
      r["host"] = printable(note->second.host);
    }
    one["recipients"].push_back(std::move(r));
  }
  return one.dump(2);
}

}  // namespace mail::queue
