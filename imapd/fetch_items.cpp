#include "imapd/fetch_items.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imap/arguments.h"
#include "imap/response.h"
#include "imapd/capability.h"
#include "imapd/flags.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

void append_time(std::string& out, std::int64_t seconds) {
  out += '"';
  imap::append_date_time(out, {std::chrono::sys_seconds(std::chrono::seconds(seconds)), {}});
  out += '"';
}

void body_structure(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "BODYSTRUCTURE ";
  out += input.summary->bodystructure;
}
void body(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "BODY ";
  out += input.summary->body;
}
void email_id(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  ((out += "EMAILID (") += input.summary->email_id) += ')';
}
void envelope(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "ENVELOPE ";
  out += input.summary->envelope;
}
void flags(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "FLAGS ";
  append_flags(out, input.row, input.session.keywords(), input.session.tells_recent());
}
void internal_date(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "INTERNALDATE ";
  append_time(out, input.row.internal_date);
}
void modseq(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "MODSEQ (";
  append_decimal(out, store::number(input.row.modseq));
  out += ')';
}
void preview(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "PREVIEW ";
  imap::append_string(out, input.summary->preview, input.session.utf8());
}
void rfc822_size(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "RFC822.SIZE ";
  append_decimal(out, input.row.octets);
}
void save_date(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "SAVEDATE ";
  if (input.row.save_date == 0)
    out += "NIL";
  else
    append_time(out, input.row.save_date);
}
void thread_id(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  if (input.summary->thread_id.empty())
    out += "THREADID NIL";
  else
    ((out += "THREADID (") += input.summary->thread_id) += ')';
}
void uid(const FetchInput& input, const imap::FetchAttribute&, std::string& out) {
  out += "UID ";
  append_decimal(out, store::number(input.row.uid));
}

using Body = FetchItem::Body;
constexpr std::array kItems{
    FetchItem{.name = "BINARY",
              .source = Source::content,
              .body = Body::binary,
              .takes_section = true,
              .sets_seen = true,
              .capability = "BINARY"},
    FetchItem{.name = "BINARY.PEEK", .source = Source::content, .body = Body::binary, .takes_section = true},
    FetchItem{.name = "BINARY.SIZE", .source = Source::content, .body = Body::binary_size, .takes_section = true},
    FetchItem{.name = "BODY", .source = Source::summary, .append = body},
    FetchItem{.name = "BODY.PEEK[]", .source = Source::content, .body = Body::section, .takes_section = true},
    FetchItem{.name = "BODYSTRUCTURE", .source = Source::summary, .append = body_structure},
    FetchItem{
        .name = "BODY[]", .source = Source::content, .body = Body::section, .takes_section = true, .sets_seen = true},
    FetchItem{.name = "EMAILID", .source = Source::summary, .append = email_id},
    FetchItem{.name = "ENVELOPE", .source = Source::summary, .append = envelope},
    FetchItem{.name = "FLAGS", .source = Source::row, .append = flags},
    FetchItem{.name = "INTERNALDATE", .source = Source::row, .append = internal_date},
    FetchItem{.name = "MODSEQ", .source = Source::row, .append = modseq, .enables_condstore = true},
    FetchItem{.name = "PREVIEW", .source = Source::summary, .append = preview, .capability = "PREVIEW"},
    FetchItem{.name = "RFC822", .source = Source::content, .body = Body::section, .sets_seen = true},
    FetchItem{.name = "RFC822.HEADER", .source = Source::content, .body = Body::section},
    FetchItem{.name = "RFC822.SIZE", .source = Source::size, .append = rfc822_size},
    FetchItem{.name = "RFC822.TEXT", .source = Source::content, .body = Body::section, .sets_seen = true},
    FetchItem{.name = "SAVEDATE", .source = Source::row, .append = save_date, .capability = "SAVEDATE"},
    FetchItem{.name = "THREADID", .source = Source::summary, .append = thread_id},
    FetchItem{.name = "UID", .source = Source::row, .append = uid},
};
static_assert(std::ranges::is_sorted(kItems, {}, &FetchItem::name));

}  // namespace

const FetchItem* find_fetch_item(std::string_view name) {
  const auto row = std::ranges::lower_bound(kItems, name, {}, &FetchItem::name);
  return row == kItems.end() || row->name != name ? nullptr : &*row;
}

std::vector<std::string_view> item_capabilities() {
  std::vector<std::string_view> words;
  for (const auto& item : kItems)
    if (!item.capability.empty()) words.push_back(item.capability);
  return words;
}

namespace {

std::string label_of(const imap::FetchAttribute& attribute) {
  std::string label = attribute.name;
  if (label.ends_with(".PEEK")) label.resize(label.size() - 5);
  if (attribute.section) label += "[" + attribute.section->text() + "]";
  if (attribute.partial) label += "<" + decimal(attribute.partial->offset) + ">";
  return label + ' ';
}

bool only_cached_fields(const imap::FetchAttribute& attribute) {
  const auto& section = attribute.section;
  return section && section->part.empty() && section->what == imap::Section::Text::header_fields &&
         !attribute.partial &&
         std::ranges::all_of(section->fields, [](const std::string& name) { return store::is_cached_field(name); });
}

/// RFC822 and its kin are BODY with a section that is not written.
void complete_section(imap::FetchAttribute& attribute) {
  using Text = imap::Section::Text;
  if (attribute.name == "RFC822") attribute.section = imap::Section{};
  if (attribute.name == "RFC822.HEADER") attribute.section = imap::Section{{}, Text::header, {}};
  if (attribute.name == "RFC822.TEXT") attribute.section = imap::Section{{}, Text::text, {}};
}

}  // namespace

Result<std::vector<Wanted>> look_up(std::vector<imap::FetchAttribute> attributes) {
  std::vector<Wanted> wanted;
  for (auto& attribute : attributes) {
    const bool body = attribute.name == "BODY" || attribute.name == "BODY.PEEK";
    const auto* item = find_fetch_item(body && attribute.section ? attribute.name + "[]" : attribute.name);
    if (item == nullptr || item->takes_section != attribute.section.has_value())
      return imap::unknown("FETCH item", attribute.name);
    if (item->body == Body::binary || item->body == Body::binary_size) {
      if (attribute.section->what != imap::Section::Text::all)
        return fail(Error::Kind::syntax, "BINARY takes a part number");
      if (item->body == Body::binary_size && attribute.partial)
        return fail(Error::Kind::syntax, "BINARY.SIZE takes no partial");
    }
    for (const auto& modifier : attribute.modifiers)
      if (modifier != "LAZY") return fail(Error::Kind::syntax, "Unknown PREVIEW modifier");
    Wanted one{item, std::move(attribute), {}, false};
    one.label = label_of(one.attribute);
    one.from_header_cache = only_cached_fields(one.attribute);
    complete_section(one.attribute);
    wanted.push_back(std::move(one));
  }
  return wanted;
}

}  // namespace mail::imapd
