#include "mta/queue/entries.h"

#include <algorithm>

#include "base/strings.h"
#include "mta/relay/status_file.h"
#include "spool/nudge.h"

namespace mail::queue {

namespace {

constexpr std::array kStateNames{
    std::pair{State::ready, std::string_view("ready")}, std::pair{State::deferred, std::string_view("deferred")},
    std::pair{State::held, std::string_view("held")}, std::pair{State::local, std::string_view("local")},
    std::pair{State::damaged, std::string_view("damaged")}};

bool address_matches(std::string_view pattern, std::string_view address) {
  if (pattern == "<>") return address.empty();
  if (pattern.starts_with('*') && pattern.ends_with('*') && pattern.size() > 1)
    return ifind(address, pattern.substr(1, pattern.size() - 2)) != std::string_view::npos;
  if (pattern.starts_with('*')) return iends_with(address, pattern.substr(1));
  if (pattern.ends_with('*')) return istarts_with(address, pattern.substr(0, pattern.size() - 1));
  return iequals(pattern, address);
}

/// A destination that cannot be reached.
struct Unreached {
  std::string reply;
  WallTime not_before;
};
using Reasons = std::map<std::string, Unreached, ILess>;

/// relay.status
Reasons unreached(const spool::Spool& spool) {
  Reasons found;
  const bool runs = spool::relay_runs(spool);  // one that starts waits for nobody yet
  const auto text = read_file_at(concat({spool.path(), "/", relay::kStatusFile}), 64U << 20);
  if (!text) return found;
  for (auto line : split(*text, '\n')) {
    std::string_view key, count, time;
    std::tie(key, line) = split_once(line, ' ');
    std::tie(count, line) = split_once(line, ' ');
    std::tie(time, line) = split_once(line, ' ');
    if (auto name = spool::unquote_word(key); name && !line.empty())
      found[*name] = {std::string(line),
                      WallTime(std::chrono::seconds(runs ? parse_decimal<std::int64_t>(time).value_or(0) : 0))};
  }
  return found;
}

}  // namespace

std::string_view domain_of(std::string_view address) {
  const auto at = address.rfind('@');
  return at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
}

std::string_view to_string(State state) {
  for (const auto& [value, name] : kStateNames)
    if (value == state) return name;
  return {};
}

std::optional<State> parse_state(std::string_view word) {
  for (const auto& [value, name] : kStateNames)
    if (name == word) return value;
  return std::nullopt;
}

bool matches(const Filter& filter, const Entry& entry, WallTime now) {
  const auto& e = entry.envelope;
  if (filter.local_deferred && entry.state == State::local && entry.notes.empty()) return false;
  if (!filter.sender.empty() && !address_matches(filter.sender, e.reverse_path)) return false;
  const auto any = [&](auto test) { return std::ranges::any_of(e.recipients, test); };
  if (!filter.recipient.empty() &&
      !any([&](const auto& r) { return address_matches(filter.recipient, r.forward_path); }))
    return false;
  if (!filter.domain.empty() && !any([&](const auto& r) {
        return spool::is_open(r.state) && address_matches(filter.domain, domain_of(r.forward_path));
      }))
    return false;
  if (filter.older && now - e.arrival < *filter.older) return false;
  if (filter.younger && now - e.arrival > *filter.younger) return false;
  return !filter.state || *filter.state == entry.state;
}

namespace {

using Place = std::pair<MessageId, spool::Box>;

/// Where the messages are that the filter does not rule out by their ids, oldest first.
Result<std::vector<Place>> places(const spool::Spool& spool, const std::vector<spool::Box>& boxes,
                                  const Filter& filter) {
  std::vector<Place> found;
  for (const auto box : boxes) {
    if (filter.ids.empty()) {
      MAIL_CHECK(spool.each(box, [&](const MessageId& id) { found.emplace_back(id, box); }));
      continue;
    }
    for (const auto& text : filter.ids)
      if (const auto id = MessageId::parse(text); id && spool.exists(box, *id)) found.emplace_back(*id, box);
  }
  std::ranges::sort(found);
  const auto twice = std::unique(found.begin(), found.end());  // clang 14 cannot read libstdc++ 12's ranges::unique
  found.erase(twice, found.end());
  return found;
}

/// Notes why the destinations of open recipients wait.
void find_reasons(Entry& entry, const Reasons& reasons, Destinations* routes) {
  if (reasons.empty()) return;
  for (const auto& recipient : entry.envelope.recipients) {
    if (!spool::is_open(recipient.state)) continue;
    auto found = reasons.find(domain_of(recipient.forward_path));
    if (found == reasons.end() && routes != nullptr) found = reasons.find(routes->key(entry.envelope, recipient));
    if (found == reasons.end()) continue;
    const auto& [reply, not_before] = found->second;
    if (std::ranges::find(entry.reasons, reply) == entry.reasons.end()) entry.reasons.push_back(reply);
    entry.destinations_wait = std::min(entry.destinations_wait.value_or(not_before), not_before);
  }
}

std::optional<Entry> read_entry(const spool::Spool& spool, const Place& place, const Reasons& reasons, WallTime now,
                                Destinations* routes) {
  const auto& [id, box] = place;
  Entry entry;
  entry.box = box;
  auto envelope = spool::read_envelope(spool, box, id);
  if (!envelope && envelope.error().kind != Error::Kind::syntax) return std::nullopt;
  entry.state = box == spool::Box::hold ? State::held : box == spool::Box::local ? State::local : State::ready;
  if (envelope)
    entry.envelope = std::move(*envelope);
  else
    entry.envelope.id = id;
  if (!envelope || box == spool::Box::corrupt) entry.state = State::damaged;
  if (const auto found = spool.disk().stat(spool.directory(box), id.text()))
    entry.octets = static_cast<std::uint64_t>(found->st_size);
  entry.notes = relay::last_notes(spool::read_log(spool, box, id));
  if (entry.state == State::ready) find_reasons(entry, reasons, routes);
  const auto& e = entry.envelope;
  if (entry.state == State::ready &&
      (e.next_attempt > now || !entry.reasons.empty() || e.hold_until.value_or(WallTime{}) > now))
    entry.state = State::deferred;
  return entry;
}

}  // namespace

Status each_entry(const spool::Spool& spool, const std::vector<spool::Box>& boxes, const Filter& filter, WallTime now,
                  const std::function<void(const std::vector<Entry>&)>& act, Destinations* routes) {
  constexpr std::size_t kAtOnce = 500;
  const auto reasons = unreached(spool);
  MAIL_TRY(found, places(spool, boxes, filter));
  std::vector<Entry> entries;
  for (const auto& place : found) {
    auto entry = read_entry(spool, place, reasons, now, routes);
    if (!entry || !matches(filter, *entry, now)) continue;
    entries.push_back(std::move(*entry));
    if (entries.size() < kAtOnce) continue;
    act(entries);
    entries.clear();
  }
  if (!entries.empty()) act(entries);
  return {};
}

std::string age_text(std::chrono::seconds age) {
  const auto seconds = std::max<std::int64_t>(0, age.count());
  if (seconds < 60) return decimal(seconds) + "s";
  if (seconds < 3600) return decimal(seconds / 60) + "m";
  if (seconds < 2 * 86400) return decimal(seconds / 3600) + "h";
  return decimal(seconds / 86400) + "d";
}

std::string as_text(const Entry& entry, WallTime now) {
  const auto& e = entry.envelope;
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - e.arrival);
  auto text = concat({e.id.text(), "  ", to_string(entry.state), "  ", age_text(age), "  ", decimal(entry.octets),
                      "  <", printable(e.reverse_path), ">"});
  if (e.hold_until && *e.hold_until > now)
    text += concat(
        {"  held until its time in ", age_text(std::chrono::duration_cast<std::chrono::seconds>(*e.hold_until - now))});
  const auto next = entry.next_attempt();
  if (entry.state == State::deferred && next > now)
    text += concat({"  next in ", age_text(std::chrono::duration_cast<std::chrono::seconds>(next - now)),
                    e.attempts > 0 ? concat({", tried ", decimal(e.attempts)}) : ""});
  text += "\n";
  for (std::size_t i = 0; i < e.recipients.size(); ++i) {
    const auto& recipient = e.recipients[i];
    if (spool::is_finished(recipient.state)) continue;
    text += concat({"    ", printable(recipient.forward_path),
                    recipient.state == spool::RecipientState::failed ? "  (failed, bounce to come)" : "", "\n"});
    if (const auto note = entry.notes.find(i); note != entry.notes.end())
      text += concat({"      ", note->second.host.empty() ? "" : concat({printable(note->second.host), ": "}),
                      printable(note->second.reply), "\n"});
  }
  for (const auto& reason : entry.reasons) text += concat({"      ", printable(reason), "\n"});
  return text;
}

std::string in_full(const spool::Spool& spool, const Entry& entry, WallTime now) {
  auto text = as_text(entry, now);
  text += "\nEnvelope:\n" + spool::print(entry.envelope);
  if (const auto log = spool::read_log(spool, entry.box, entry.envelope.id); !log.empty())
    text += concat({"Attempts (time, recipient, host, status, reply):\n", printable(log), "\n"});
  const auto message = spool::StoredMessage::open(spool, entry.box, entry.envelope.id);
  if (!message) return text + message.error().text + "\n";
  const auto header = message->content().substr(0, message->content().find("\r\n\r\n"));
  text += "Header:\n";
  for (auto line : split(header, '\n'))
    text += concat({line.starts_with('\t') || line.starts_with(' ') ? "  " : "", printable(trim(line)), "\n"});
  return text;
}

}  // namespace mail::queue
