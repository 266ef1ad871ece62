#include "mta/queue/trace.h"

#include <array>

#include "base/strings.h"
#include "mta/queue/entries.h"

namespace mail::queue {

namespace {

/// The value of ` KEY=` in a log line, without quotes; empty where it is not there.
std::string_view value_of(std::string_view line, std::string_view key) {
  for (std::size_t at = line.find(key); at != std::string_view::npos; at = line.find(key, at + 1)) {
    if (at == 0 || line[at - 1] != ' ' || at + key.size() >= line.size() || line[at + key.size()] != '=') continue;
    auto value = line.substr(at + key.size() + 1);
    if (value.starts_with('"')) {
      value.remove_prefix(1);
      return value.substr(0, value.find('"'));
    }
    return value.substr(0, value.find(' '));
  }
  return {};
}

constexpr std::array<std::string_view, 6> kIdKeys{"id", "as", "report", "drop", "queued", "message"};
constexpr std::array<std::string_view, 4> kAddressKeys{"from", "to", "user", "rcpt"};

bool names_address(std::string_view line, std::string_view address) {
  for (const auto key : kAddressKeys)
    for (const auto one : split(value_of(line, key), ','))
      if (iequals(one, address)) return true;
  return false;
}

}  // namespace

Trace trace(std::istream& log, std::string_view wanted) {
  Trace result;
  const bool by_id = MessageId::parse(wanted).has_value();
  if (by_id) result.ids.insert(std::string(wanted));
  // Twice: what a drop or a hand-over was called before stands in lines that come earlier than the link.
  for (const bool collect : {false, true}) {
    log.clear();
    log.seekg(0);
    for (std::string line; std::getline(log, line);) {
      std::vector<std::string> ids;
      for (const auto key : kIdKeys)
        if (const auto value = value_of(line, key); MessageId::parse(value)) ids.emplace_back(value);
      bool mine = !by_id && names_address(line, wanted);
      for (const auto& id : ids) mine = mine || result.ids.contains(id);
      if (!mine) continue;
      result.ids.insert(ids.begin(), ids.end());
      if (collect) result.lines.push_back(line);
    }
  }
  return result;
}

std::string where_now(const spool::Spool& spool, const std::set<std::string>& ids, Destinations& routes) {
  std::string text;
  const auto now = Clock::system().now();
  Filter filter;
  filter.ids.assign(ids.begin(), ids.end());
  if (filter.ids.empty()) return text;
  const auto read = each_entry(
      spool, {spool::Box::queue, spool::Box::local, spool::Box::hold, spool::Box::corrupt}, filter, now,
      [&](const std::vector<Entry>& entries) {
        for (const auto& entry : entries)
          text += concat({"in spool/", spool::name_of(entry.box), ": ", as_text(entry, now)});
      },
      &routes);
  if (!read) text += read.error().text + "\n";
  return text;
}

}  // namespace mail::queue
