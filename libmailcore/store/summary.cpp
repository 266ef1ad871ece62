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

constexpr std::uint8_t kVersion = 1;

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

std::string joined(const std::vector<std::string>& ids) { return join(ids, " "); }

}  // namespace

bool is_cached_field(std::string_view name) {
  const auto lower = to_lower(name);
  return std::ranges::binary_search(kCachedFields, std::string_view(lower));
}

std::string summarise(std::string_view raw, message::Tree& tree) {
  message::parse(raw, tree);
  const auto value = [&](KnownField field) { return tree.field(tree.root(), field).value_or(std::string_view{}); };
  std::string header_fields;
  std::array<std::string, 5> search;  // from, to, cc, bcc, subject: all fields of the name
  bool whole = true;
  for (const auto& field : message::HeaderFields(tree.header(tree.root()))) {
    if (field.name.empty()) continue;
    const auto lower = field.name.size() < 40 ? to_lower(field.name) : std::string();
    if (!std::ranges::binary_search(kCachedFields, std::string_view(lower))) continue;
    if (header_fields.size() + field.raw.size() > kHeaderOctetsMost) {
      whole = false;
      continue;
    }
    append_crlf(header_fields, field.raw);
    if (!header_fields.ends_with('\n')) header_fields += "\r\n";
    const int at = lower == "from"      ? 0
                   : lower == "to"      ? 1
                   : lower == "cc"      ? 2
                   : lower == "bcc"     ? 3
                   : lower == "subject" ? 4
                                        : -1;
    if (at >= 0 && search[static_cast<std::size_t>(at)].size() < kSearchOctetsMost) {
      auto& text = search[static_cast<std::size_t>(at)];
      text += message::field_search_text(field.value);
      text += '\n';
    }
  }
  std::int64_t sent = INT64_MIN;
  if (const auto date = message::parse_date(value(KnownField::date))) sent = date->time.time_since_epoch().count();
  const auto subject = message::base_subject(value(KnownField::subject));
  const auto references = message::parse_message_ids(value(KnownField::references));
  const auto in_reply_to = message::parse_message_ids(value(KnownField::in_reply_to));
  const auto message_id = message::parse_message_id(value(KnownField::message_id));
  const std::string_view root = !references.empty()    ? std::string_view(references.front())
                                : !in_reply_to.empty() ? std::string_view(in_reply_to.front())
                                                       : std::string_view(message_id);
  std::string display_from, display_to;
  const auto sort_from = first_mailbox_local_part(value(KnownField::from), &display_from);
  const auto sort_to = first_mailbox_local_part(value(KnownField::to), &display_to);
  const auto sort_cc = first_mailbox_local_part(value(KnownField::cc), nullptr);

  std::string out;
  put(out, kVersion);
  put(out, static_cast<std::uint8_t>((whole ? 1 : 0) | (subject.is_reply_or_forward ? 2 : 0)));
  put(out, static_cast<std::uint64_t>(tree.crlf_octets()));
  put(out, sent);
  put_text(out, message::imap_envelope(tree));
  put_text(out, message::imap_bodystructure(tree));
  put_text(out, message::imap_body(tree));
  put_text(out, header_fields);
  put_text(out, hash_id('M', raw));
  put_text(out, root.empty() ? hash_id('T', raw) : hash_id('T', root));
  put_text(out, message::preview(tree));
  put_text(out, subject.text);
  put_text(out, sort_from);
  put_text(out, sort_to);
  put_text(out, sort_cc);
  put_text(out, display_from);
  put_text(out, display_to);
  put_text(out, message_id);
  put_text(out, in_reply_to.empty() ? std::string() : in_reply_to.front());
  put_text(out, joined(references));
  for (const auto& text : search) put_text(out, text);
  return out;
}

std::optional<Summary> parse_summary(std::string_view record) {
  Reader in(record);
  if (in.get<std::uint8_t>() != kVersion) return std::nullopt;
  Summary out;
  const auto bits = in.get<std::uint8_t>();
  out.header_fields_whole = (bits & 1) != 0;
  out.is_reply_or_forward = (bits & 2) != 0;
  out.octets = in.get<std::uint64_t>();
  out.sent_date = in.get<std::int64_t>();
  for (auto* text : {&out.envelope,      &out.bodystructure, &out.body,         &out.header_fields, &out.email_id,
                     &out.thread_id,     &out.preview,       &out.base_subject, &out.sort_from,     &out.sort_to,
                     &out.sort_cc,       &out.display_from,  &out.display_to,   &out.message_id,    &out.in_reply_to,
                     &out.references,    &out.search_from,   &out.search_to,    &out.search_cc,     &out.search_bcc,
                     &out.search_subject})
    *text = in.text();
  if (!in.ok()) return std::nullopt;
  return out;
}

}  // namespace mail::store
