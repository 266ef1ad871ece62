#include "mua/source.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"
#include "imap/client_session.h"
#include "message/charset.h"
#include "message/encoded_word.h"
#include "message/search_text.h"
#include "message/thread.h"
#include "message/tree.h"

namespace mail::mua {

bool Item::has(std::string_view flag) const {
  return std::ranges::any_of(flags, [&](const std::string& f) { return iequals(f, flag); });
}

Result<IdSet> IdSet::parse(std::string_view text) {
  IdSet set;
  const auto bad = [&] {
    return fail(Error::Kind::syntax,
                concat({"\"", text, "\" is no set of messages: 3, 5:9, 1,4,7:*, last and all are"}));
  };
  if (iequals(text, "all")) {
    set.ranges_.emplace_back(1, kLast);
    return set;
  }
  for (const auto part : split(text, ',')) {
    Cursor in(part);
    const auto take = [&]() -> std::optional<std::uint32_t> {
      if (in.take('*') || in.take_word("last")) return kLast;
      const auto number = in.take_decimal<std::uint32_t>(kLast - 1);
      return number && *number > 0 ? number : std::nullopt;
    };
    const auto first = take();
    if (!first) return bad();
    auto second = first;
    if (in.take(':') || in.take('-')) second = take();
    if (!second || !in.at_end()) return bad();
    set.ranges_.emplace_back(std::min(*first, *second), std::max(*first, *second));
  }
  return set;
}

bool IdSet::contains(std::uint32_t id, std::uint32_t last) const {
  return std::ranges::any_of(ranges_, [&](const auto& range) {
    const auto first = range.first == kLast ? last : range.first;
    return id >= first && (range.second == kLast || id <= range.second);
  });
}

std::string IdSet::imap() const {
  std::string out;
  const auto number = [](std::uint32_t id) { return id == kLast ? std::string("*") : decimal(id); };
  for (const auto& [first, second] : ranges_) {
    if (!out.empty()) out += ',';
    out += number(first);
    if (second != first) out += ":" + number(second);
  }
  return out;
}

std::vector<std::uint32_t> select_ids(const IdSet& set, const std::vector<std::uint32_t>& all) {
  std::vector<std::uint32_t> out;
  for (const auto id : all)
    if (set.contains(id, all.back())) out.push_back(id);
  return out;
}

Item item_from_header(std::string_view header) {
  message::Tree tree;
  message::parse_header(header, tree);
  Item item;
  const auto field = [&](message::KnownField f) { return tree.field(tree.root(), f).value_or(std::string_view()); };
  item.date = message::parse_date(field(message::KnownField::date));
  item.from = message::parse_mailboxes(field(message::KnownField::from));
  item.to = message::parse_mailboxes(field(message::KnownField::to));
  item.cc = message::parse_mailboxes(field(message::KnownField::cc));
  item.subject = message::decode_header_text(field(message::KnownField::subject));
  item.message_id = message::parse_message_id(field(message::KnownField::message_id));
  item.in_reply_to = message::parse_message_id(field(message::KnownField::in_reply_to));
  return item;
}

Status fill_from_envelope(Item& item, const imap::Value& envelope) {
  if (envelope.items.size() != 10) return fail(Error::Kind::syntax, "this is no ENVELOPE");
  const auto& fields = envelope.items;
  const auto mailboxes = [](const imap::Value& list) {
    std::vector<message::Address> out;
    for (const auto& value : list.items) {
      if (value.items.size() != 4 || value.items[3].kind == imap::Value::Kind::nil)
        continue;  // where a group begins or ends
      message::Address address;
      address.display_name = value.items[0].text;
      address.local_part = value.items[2].text;
      address.domain = value.items[3].text;
      out.push_back(std::move(address));
    }
    return out;
  };
  item.date = message::parse_date(fields[0].text);
  item.subject = message::decode_header_text(fields[1].text);
  item.from = mailboxes(fields[2]);
  item.to = mailboxes(fields[5]);
  item.cc = mailboxes(fields[6]);
  item.in_reply_to = message::parse_message_id(fields[8].text);
  item.message_id = message::parse_message_id(fields[9].text);
  return {};
}

bool matches(const Query& query, const Item& item, std::string_view message) {
  const auto holds = [](const std::string& folded, const std::vector<std::string>& keys) {
    return std::ranges::all_of(
        keys, [&](const std::string& key) { return folded.find(message::fold_case(key)) != std::string::npos; });
  };
  const auto addresses = [](const std::vector<message::Address>& list) {
    std::string out;
    for (const auto& address : list) out += message::to_display(address) + "\n";
    return message::fold_case(out);
  };
  for (const auto& flag : query.with_flags)
    if (!item.has(flag)) return false;
  for (const auto& flag : query.without_flags)
    if (item.has(flag)) return false;
  if ((query.larger && item.octets <= *query.larger) || (query.smaller && item.octets >= *query.smaller)) return false;
  if (query.since && (!item.date || item.date->local_day() < *query.since)) return false;
  if (query.before && (!item.date || item.date->local_day() >= *query.before)) return false;
  if (!holds(message::fold_case(item.subject), query.subject) || !holds(addresses(item.from), query.from) ||
      !holds(addresses(item.to), query.to))
    return false;
  if (query.text.empty() && query.body.empty()) return true;
  const auto tree = message::parse(message);
  std::string body, text;
  message::append_body_search_text(body, tree);
  message::append_header_search_text(text, tree.header(tree.root()));
  text += body;
  return holds(body, query.body) && holds(text, query.text);
}

}  // namespace mail::mua
