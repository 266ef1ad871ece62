#include "store/uidlist.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"

namespace mail::store {

namespace {

/// Calls `take(line)` for each whole line.
template <class Take>
void for_each_line(std::string_view text, Take&& take) {
  for (;;) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return;
    take(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Result<UidlistHeader> parse_uidlist_header(std::string_view line) {
  Cursor in(line);
  UidlistHeader out;
  const auto version = in.take_decimal<std::uint32_t>();
  if (!version || !in.take(' ')) return fail(Error::Kind::syntax, "dovecot-uidlist: no version");
  if (*version == 1) {  // "1 UIDVALIDITY UIDNEXT"
    const auto validity = in.take_decimal<std::uint32_t>();
    const bool space = in.take(' ');
    const auto next = in.take_decimal<std::uint32_t>();
    if (!validity || !space || !next) return fail(Error::Kind::syntax, "dovecot-uidlist: damaged header");
    out.uid_validity = static_cast<UidValidity>(*validity);
    out.uid_next = static_cast<Uid>(*next);
  } else if (*version == 3) {
    while (!in.at_end()) {
      const int key = in.peek();
      in.skip(1);
      if (key == 'V' || key == 'N') {
        const auto value = in.take_decimal<std::uint32_t>();
        if (!value) return fail(Error::Kind::syntax, "dovecot-uidlist: damaged header");
        if (key == 'V')
          out.uid_validity = static_cast<UidValidity>(*value);
        else
          out.uid_next = static_cast<Uid>(*value);
      } else {
        const auto value = in.take_while([](unsigned char c) { return c != ' '; });
        if (key == 'G' && value.size() == 32) out.guid = std::string(value);
      }
      if (!in.at_end() && !in.take(' ')) return fail(Error::Kind::syntax, "dovecot-uidlist: damaged header");
    }
  } else {
    return fail(Error::Kind::permanent, concat({"dovecot-uidlist: unknown version ", decimal(*version)}));
  }
  if (number(out.uid_validity) == 0 || number(out.uid_next) == 0)
    return fail(Error::Kind::syntax, "dovecot-uidlist: damaged header");
  return out;
}

std::string format_uidlist_header(const UidlistHeader& header) {
  return concat({"3 V", decimal(number(header.uid_validity)), " N", decimal(number(header.uid_next)),
                 header.guid.empty() ? "" : " G", header.guid, "\n"});
}

std::optional<UidlistEntry> parse_uidlist_line(std::string_view line) {
  Cursor in(line);
  UidlistEntry out;
  const auto uid = in.take_decimal<std::uint32_t>();
  if (!uid || *uid == 0) return std::nullopt;
  out.uid = static_cast<Uid>(*uid);
  if (in.peek() != ' ') return std::nullopt;
  // Version 3: fields up to " :"; version 1: the name follows the blank at once.
  const auto rest = in.rest();
  const auto name_at = rest.find(" :");
  if (name_at != std::string_view::npos) {
    out.extensions = rest.substr(0, name_at);
    out.base = rest.substr(name_at + 2);
  } else {
    out.base = rest.substr(1);
  }
  out.base = out.base.substr(0, out.base.find(':'));
  if (out.base.empty() || out.base.size() > 255 || out.base.find('/') != std::string_view::npos ||
      out.base.find('\0') != std::string_view::npos || out.base.front() == '.')
    return std::nullopt;
  return out;
}

void append_uidlist_line(std::string& to, Uid uid, std::string_view extensions, std::string_view base) {
  append_decimal(to, number(uid));
  to += extensions;
  to += " :";
  to += base;
  to += '\n';
}

void parse_uidlist_lines(std::string_view lines, Uidlist& list) {
  std::uint32_t last = list.entries.empty() ? 0 : number(list.entries.back().uid);
  for_each_line(lines, [&](std::string_view line) {
    const auto entry = parse_uidlist_line(line);
    if (!entry || number(entry->uid) <= last) {
      list.damaged = true;
      return;
    }
    last = number(entry->uid);
    list.entries.push_back(*entry);
  });
  // Lines are appended without rewriting the header.
  if (last >= number(list.header.uid_next))
    list.header.uid_next = static_cast<Uid>(last == UINT32_MAX ? last : last + 1);
}

namespace {

Result<Uidlist> parse_list(std::string_view text) {
  const auto first = text.find('\n');
  if (first == std::string_view::npos) return fail(Error::Kind::syntax, "dovecot-uidlist: no header");
  MAIL_TRY(header, parse_uidlist_header(text.substr(0, first)));
  Uidlist out;
  out.header = std::move(header);
  parse_uidlist_lines(text.substr(first + 1), out);
  return out;
}

}  // namespace

Result<Uidlist> parse_uidlist(std::string_view text) {
  auto out = parse_list(text);
  if (out && text.starts_with("1 ")) out->damaged = true;  // version 3 lines cannot be appended to it
  return out;
}

Result<Uidlist> parse_courier_uids(std::string_view text) {
  if (!text.starts_with("1 ")) return fail(Error::Kind::syntax, "courierimapuiddb: unknown version");
  const auto first = text.find('\n');
  if (first == std::string_view::npos) return fail(Error::Kind::syntax, "courierimapuiddb: no header");
  MAIL_TRY(header, parse_uidlist_header(text.substr(0, first)));
  Uidlist out;
  out.header = std::move(header);
  for_each_line(text.substr(first + 1), [&](std::string_view line) {
    if (const auto entry = parse_uidlist_line(line)) out.entries.push_back(*entry);
  });
  auto& entries = out.entries;
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.uid < b.uid; });
  entries.erase(
      std::unique(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.uid == b.uid; }),
      entries.end());
  if (!entries.empty() && entries.back().uid >= out.header.uid_next)
    out.header.uid_next = static_cast<Uid>(number(entries.back().uid) + 1);
  return out;
}

std::vector<std::string> parse_keywords(std::string_view text) {
  std::vector<std::string> out;
  std::string whole(text);
  if (!whole.empty() && whole.back() != '\n') whole += '\n';
  for_each_line(whole, [&](std::string_view line) {
    Cursor in(line);
    const auto index = in.take_decimal<std::uint32_t>(kKeywordsMost - 1);
    if (!index || !in.take(' ') || in.at_end()) return;
    const auto name = in.rest();
    for (const char c : name)
      if (static_cast<unsigned char>(c) <= ' ' || c == 0x7F) return;
    if (out.size() <= *index) out.resize(*index + 1);
    if (out[*index].empty()) out[*index] = std::string(name);
  });
  return out;
}

std::string format_keywords(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (!names[i].empty()) out += concat({decimal(i), " ", names[i], "\n"});
  return out;
}

}  // namespace mail::store
