#include "store/summary.h"

#include <xxhash.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "message/address.h"
#include "message/charset.h"
#include "message/date.h"
#include "message/encoded_word.h"
#include "message/header.h"
#include "message/imap_text.h"
#include "message/search_text.h"
#include "message/thread.h"
#include "store/message_file.h"
#include "store/octets.h"

namespace mail::store {

namespace {

constexpr std::uint8_t kVersion = 2;

/// The texts of a record in their order: their ends stand together in front of them, so that whoever wants one of them
/// touches no other.
constexpr std::array kTexts{&Summary::envelope,      &Summary::bodystructure, &Summary::body,
                            &Summary::header_fields, &Summary::email_id,      &Summary::thread_id,
                            &Summary::preview,       &Summary::base_subject,  &Summary::sort_from,
                            &Summary::sort_to,       &Summary::sort_cc,       &Summary::display_from,
                            &Summary::display_to,    &Summary::message_id,    &Summary::in_reply_to,
                            &Summary::references,    &Summary::search_from,   &Summary::search_to,
                            &Summary::search_cc,     &Summary::search_bcc,    &Summary::search_subject};

/// Fields whose raw text is kept: what mail clients ask for when they list a mailbox. Sorted.
constexpr std::array<std::string_view, 27> kCachedFields{"bcc",
                                                         "cc",
                                                         "content-transfer-encoding",
                                                         "content-type",
                                                         "date",
                                                         "delivered-to",
                                                         "disposition-notification-to",
                                                         "from",
                                                         "importance",
                                                         "in-reply-to",
                                                         "list-id",
                                                         "list-post",
                                                         "list-unsubscribe",
                                                         "mail-followup-to",
                                                         "message-id",
                                                         "mime-version",
                                                         "newsgroups",
                                                         "precedence",
                                                         "priority",
                                                         "references",
                                                         "reply-to",
                                                         "return-path",
                                                         "sender",
                                                         "subject",
                                                         "to",
                                                         "x-mailing-list",
                                                         "x-priority"};
static_assert(std::ranges::is_sorted(kCachedFields));

/// More of the cached header fields than this is not kept: a 100 MB header must not fill the index. The record is then
/// marked.
constexpr std::size_t kHeaderOctetsMost = 64 * 1024;
/// Search texts of one field, likewise.
constexpr std::size_t kSearchOctetsMost = 256 * 1024;

/// Version, bits, zeros, size, date, and the ends of the texts.
constexpr std::size_t kFixedOctets = 4 + 8 + 8 + kTexts.size() * 4;

using message::KnownField;

std::string first_mailbox_local_part(std::string_view value, std::string* display) {
  std::string local;
  bool taken = false;
  if (!value.empty())
    message::for_each_address(value, [&](const message::Address& address) {
      if (taken || address.kind == message::Address::Kind::group_end) return;
      taken = true;
      local = address.kind == message::Address::Kind::group_begin ? address.display_name : address.local_part;
      if (display == nullptr) return;
      // RFC 5957: the display name, else local-part@domain.
      *display = message::fold_case(address.display_name.empty() ? message::addr_spec(address)
                                                                 : message::decode_header_text(address.display_name));
    });
  return message::fold_case(local);
}

std::string hash_id(char kind, std::string_view octets) {
  const auto hash = XXH3_128bits(octets.data(), octets.size());
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return kind + to_hex({reinterpret_cast<const char*>(canonical.digest), 16});
}

}  // namespace

bool is_cached_field(std::string_view name) {
  const auto lower = to_lower(name);
  return std::ranges::binary_search(kCachedFields, std::string_view(lower));
}

namespace {

struct CachedFields {
  std::string raw;
  bool whole = true;                  ///< False where some were left out.
  std::array<std::string, 5> search;  ///< From, to, cc, bcc, subject: all fields of the name, where they are wanted.
};

CachedFields cached_fields(const message::Tree& tree, bool with_search) {
  CachedFields out;
  for (const auto& field : message::HeaderFields(tree.header(tree.root()))) {
    if (field.name.empty()) continue;
    const auto lower = field.name.size() < 40 ? to_lower(field.name) : std::string();
    if (!std::ranges::binary_search(kCachedFields, std::string_view(lower))) continue;
    if (out.raw.size() + field.raw.size() > kHeaderOctetsMost) {
      out.whole = false;
      continue;
    }
    append_crlf(out.raw, field.raw);
    if (!out.raw.ends_with('\n')) out.raw += "\r\n";
    if (!with_search) continue;
    const int at = lower == "from"      ? 0
                   : lower == "to"      ? 1
                   : lower == "cc"      ? 2
                   : lower == "bcc"     ? 3
                   : lower == "subject" ? 4
                                        : -1;
    if (at >= 0 && out.search[static_cast<std::size_t>(at)].size() < kSearchOctetsMost) {
      auto& text = out.search[static_cast<std::size_t>(at)];
      text += message::field_search_text(field.value);
      text += '\n';
    }
  }
  return out;
}

/// INT64_MIN: the internal date counts.
std::int64_t sent_date(const message::Tree& tree) {
  const auto date = message::parse_date(tree.field(tree.root(), KnownField::date).value_or(std::string_view{}));
  return date ? date->time.time_since_epoch().count() : INT64_MIN;
}

/// What SEARCH, SORT and THREAD compare: a Summary with that, and the texts it refers to.
struct SearchKeys {
  explicit SearchKeys(const message::Tree& tree) : fields(cached_fields(tree, true)) {
    const auto value = [&](KnownField field) { return tree.field(tree.root(), field).value_or(std::string_view{}); };
    subject = message::base_subject(value(KnownField::subject));
    sort_from = first_mailbox_local_part(value(KnownField::from), &display_from);
    sort_to = first_mailbox_local_part(value(KnownField::to), &display_to);
    sort_cc = first_mailbox_local_part(value(KnownField::cc), nullptr);
    message_id = message::parse_message_id(value(KnownField::message_id));
    const auto replied_to = message::parse_message_ids(value(KnownField::in_reply_to));
    if (!replied_to.empty()) in_reply_to = replied_to.front();
    const auto ids = message::parse_message_ids(value(KnownField::references));
    references = join(ids, " ");
    root = !ids.empty() ? ids.front() : !replied_to.empty() ? in_reply_to : message_id;
    summary.is_reply_or_forward = subject.is_reply_or_forward;
    summary.sent_date = sent_date(tree);
    summary.base_subject = subject.text;
    summary.sort_from = sort_from;
    summary.sort_to = sort_to;
    summary.sort_cc = sort_cc;
    summary.display_from = display_from;
    summary.display_to = display_to;
    summary.message_id = message_id;
    summary.in_reply_to = in_reply_to;
    summary.references = references;
    summary.search_from = fields.search[0];
    summary.search_to = fields.search[1];
    summary.search_cc = fields.search[2];
    summary.search_bcc = fields.search[3];
    summary.search_subject = fields.search[4];
  }
  SearchKeys(const SearchKeys&) = delete;
  SearchKeys& operator=(const SearchKeys&) = delete;

  CachedFields fields;
  message::BaseSubject subject;
  std::string sort_from, sort_to, sort_cc, display_from, display_to, message_id, in_reply_to, references;
  std::string root;  ///< The id that its thread begins with.
  Summary summary;
};

}  // namespace

std::string summarise_header(std::string_view header, std::uint64_t wire_octets, message::Tree& tree) {
  message::parse(header, tree);
  const auto fields = cached_fields(tree, false);
  const auto envelope = message::imap_envelope(tree);
  Summary summary;
  summary.header_fields_whole = fields.whole;
  summary.octets = wire_octets;
  summary.sent_date = sent_date(tree);
  summary.envelope = envelope;
  summary.header_fields = fields.raw;
  return format_summary(summary);
}

std::string summarise_keys(std::string_view header, message::Tree& tree) {
  message::parse(header, tree);
  return format_summary(SearchKeys(tree).summary);
}

std::string summarise(std::string_view raw, message::Tree& tree) {
  message::parse(raw, tree);
  SearchKeys keys(tree);
  auto& summary = keys.summary;
  summary.header_fields_whole = keys.fields.whole;
  summary.octets = tree.crlf_octets();
  const std::string envelope = message::imap_envelope(tree), bodystructure = message::imap_bodystructure(tree),
                    body = message::imap_body(tree), email_id = hash_id('M', raw),
                    thread_id = keys.root.empty() ? hash_id('T', raw) : hash_id('T', keys.root),
                    preview = message::preview(tree);
  summary.envelope = envelope;
  summary.bodystructure = bodystructure;
  summary.body = body;
  summary.header_fields = keys.fields.raw;
  summary.email_id = email_id;
  summary.thread_id = thread_id;
  summary.preview = preview;
  return format_summary(summary);
}

std::string format_summary(const Summary& summary) {
  std::string out;
  std::size_t octets = kFixedOctets;
  for (const auto text : kTexts) octets += (summary.*text).size();
  out.reserve(octets);
  put(out, kVersion);
  put(out, static_cast<std::uint8_t>((summary.header_fields_whole ? 1 : 0) | (summary.is_reply_or_forward ? 2 : 0)));
  put(out, std::uint16_t{0});
  put(out, summary.octets);
  put(out, summary.sent_date);
  std::uint32_t end = 0;
  for (const auto text : kTexts) put(out, end += static_cast<std::uint32_t>((summary.*text).size()));
  for (const auto text : kTexts) out.append(summary.*text);
  return out;
}

std::optional<Summary> parse_summary(std::string_view record) {
  if (record.size() < kFixedOctets) return std::nullopt;
  Reader in(record.substr(0, kFixedOctets));
  if (in.get<std::uint8_t>() != kVersion) return std::nullopt;
  Summary out;
  const auto bits = in.get<std::uint8_t>();
  in.get<std::uint16_t>();
  out.header_fields_whole = (bits & 1) != 0;
  out.is_reply_or_forward = (bits & 2) != 0;
  out.octets = in.get<std::uint64_t>();
  out.sent_date = in.get<std::int64_t>();
  const auto texts = record.substr(kFixedOctets);
  std::uint32_t begin = 0;
  for (const auto text : kTexts) {
    const auto end = in.get<std::uint32_t>();
    if (end < begin || end > texts.size()) return std::nullopt;
    out.*text = texts.substr(begin, end - begin);
    begin = end;
  }
  return out;
}

}  // namespace mail::store
