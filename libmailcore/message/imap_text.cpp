#include "message/imap_text.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "base/strings.h"
#include "message/address.h"
#include "message/header.h"
#include "message/parameters.h"

namespace mail::message {

namespace {

struct Octets {
  bool plain = true;    ///< Fit for a quoted string, which may hold no 8-bit octets before UTF8=ACCEPT.
  bool escape = false;  ///< Some need a backslash.
};

Octets look_at(std::string_view text) {
  Octets out;
  std::size_t i = 0;
#ifdef __SSE2__
  auto odd = _mm_setzero_si128(), special = odd;
  const auto is = [](__m128i block, char c) { return _mm_cmpeq_epi8(block, _mm_set1_epi8(c)); };
  for (; i + sizeof odd <= text.size(); i += sizeof odd) {
    const auto block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i));
    odd = _mm_or_si128(odd, _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8(' ')), is(block, 0x7F)));
    special = _mm_or_si128(special, _mm_or_si128(is(block, '"'), is(block, '\\')));
  }
  out = {_mm_movemask_epi8(odd) == 0, _mm_movemask_epi8(special) != 0};
#endif
  for (; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    out.plain = out.plain && c >= ' ' && c < 0x7F;
    out.escape = out.escape || c == '"' || c == '\\';
  }
  return out;
}

}  // namespace

void append_nstring(std::string& to, std::string_view text) {
  if (text.data() == nullptr) {
    to += "NIL";
    return;
  }
  auto [plain, escape] = look_at(text);
  plain = plain && text.size() <= 1000;
  if (!plain) {
    to += '{';
    append_decimal(to, text.size());
    to += "}\r\n";
    const auto from = to.size();
    to += text;
    std::replace(to.begin() + static_cast<std::ptrdiff_t>(from), to.end(), '\0', '?');
    return;
  }
  to += '"';
  if (escape) {
    for (const char c : text) {
      if (c == '"' || c == '\\') to += '\\';
      to += c;
    }
  } else {
    to += text;
  }
  to += '"';
}

namespace {

void append_field(std::string& to, std::optional<std::string_view> value) {
  if (!value) {
    to += "NIL";
  } else if (std::memchr(value->data(), '\n', value->size()) == nullptr &&
             std::memchr(value->data(), '\r', value->size()) == nullptr) {
    append_nstring(to, trim(*value));
  } else {
    append_nstring(to, unfold(*value));
  }
}

void append_or_nil(std::string& to, std::string_view text) {
  if (text.empty()) {
    to += "NIL";
  } else {
    append_nstring(to, text);
  }
}

/// @param local_part, domain  neither is NIL: that would say "group" (RFC 9051 section 7.5.2)
void append_mailbox(std::string& to, std::string_view display_name, std::string_view route, std::string_view local_part,
                    std::string_view domain) {
  to += '(';
  append_or_nil(to, display_name);
  to += ' ';
  append_or_nil(to, route);
  to += ' ';
  append_nstring(to, local_part);
  to += ' ';
  append_nstring(to, domain);
  to += ')';
}

void append_address(std::string& to, const Address& address) {
  if (address.kind == Address::Kind::group_begin) {
    to += "(NIL NIL ";
    append_nstring(to, std::string_view(address.display_name));
    to += " NIL)";
  } else if (address.kind == Address::Kind::group_end) {
    to += "(NIL NIL NIL NIL)";
  } else {
    append_mailbox(to, address.display_name, address.route, address.local_part, address.domain);
  }
}

/// The list, or NIL where there is no address in it. Repeated fields count as one list.
void append_addresses(std::string& to, const MessageFields& fields, std::string_view header, KnownField field,
                      std::string_view name) {
  const auto start = to.size();
  to += '(';
  const auto add = [&](std::string_view value) {
    while (const auto plain = take_plain_mailbox(value))
      append_mailbox(to, plain->display_name, {}, plain->local_part, plain->domain);
    if (!value.empty()) for_each_address(value, [&](const Address& address) { append_address(to, address); });
  };
  const auto number = static_cast<std::size_t>(field);
  if ((fields.repeated >> number & 1U) != 0) {
    for (const auto& each : HeaderFields(header))
      if (iequals(each.name, name)) add(each.value);
  } else {
    add(fields.values[number]);
  }
  if (to.size() == start + 1) {
    to.resize(start);
    to += "NIL";
  } else {
    to += ')';
  }
}

}  // namespace

void append_imap_envelope(std::string& to, const MessageFields& fields, std::string_view header) {
  const auto append = [&](KnownField field) {
    const auto value = fields.values[static_cast<std::size_t>(field)];
    append_field(to, value.data() == nullptr ? std::nullopt : std::optional(value));
  };
  to += '(';
  append(KnownField::date);
  to += ' ';
  append(KnownField::subject);
  to += ' ';
  const auto from_begin = to.size();
  append_addresses(to, fields, header, KnownField::from, "from");
  const auto from_octets = to.size() - from_begin;
  // Sender and Reply-To are From where they are absent or empty (RFC 9051 section 7.5.2).
  for (const auto& [field, name] :
       {std::pair{KnownField::sender, "sender"}, std::pair{KnownField::reply_to, "reply-to"}}) {
    to += ' ';
    const auto begin = to.size();
    append_addresses(to, fields, header, field, name);
    if (std::string_view(to).substr(begin) != "NIL") continue;
    to.resize(begin);
    to.append(to, from_begin, from_octets);
  }
  for (const auto& [field, name] :
       {std::pair{KnownField::to, "to"}, std::pair{KnownField::cc, "cc"}, std::pair{KnownField::bcc, "bcc"}}) {
    to += ' ';
    append_addresses(to, fields, header, field, name);
  }
  to += ' ';
  append(KnownField::in_reply_to);
  to += ' ';
  append(KnownField::message_id);
  to += ')';
}

void append_imap_envelope(std::string& to, const Tree& tree, const Part& message) {
  append_imap_envelope(to, tree.fields(message), tree.header(message));
}

std::string imap_envelope(const Tree& tree) {
  std::string out;
  append_imap_envelope(out, tree, tree.root());
  return out;
}

namespace {

void append_parameters(std::string& to, const std::vector<Parameter>& parameters) {
  if (parameters.empty()) {
    to += "NIL";
    return;
  }
  char separator = '(';
  for (const auto& parameter : parameters) {
    to += separator;
    append_nstring(to, std::string_view(parameter.name));
    to += ' ';
    append_nstring(to, std::string_view(parameter.value));
    separator = ' ';
  }
  to += ')';
}

void append_disposition(std::string& to, std::optional<std::string_view> value) {
  if (!value) {
    to += "NIL";
    return;
  }
  const auto disposition = parse_parameterized(*value);
  if (disposition.value.empty()) {
    to += "NIL";
    return;
  }
  to += '(';
  append_nstring(to, std::string_view(disposition.value));
  to += ' ';
  append_parameters(to, disposition.parameters);
  to += ')';
}

/// body-fld-lang: one tag as a string, several as a list.
void append_language(std::string& to, std::optional<std::string_view> value) {
  if (!value) {
    to += "NIL";
    return;
  }
  const auto text = unfold(*value);
  std::vector<std::string_view> tags;
  for (const auto tag : split(text, ','))
    if (const auto trimmed = trim(tag); !trimmed.empty()) tags.push_back(trimmed);
  if (tags.empty()) {
    to += "NIL";
    return;
  }
  if (tags.size() > 1) to += '(';
  for (std::size_t i = 0; i < tags.size(); ++i) {
    if (i > 0) to += ' ';
    append_nstring(to, tags[i]);
  }
  if (tags.size() > 1) to += ')';
}

/// Disposition, language and location: what single parts and multiparts have in common of the extension data.
void append_extensions(std::string& to, const Tree& tree, const Part& part) {
  to += ' ';
  append_disposition(to, tree.field(part, KnownField::content_disposition));
  to += ' ';
  append_language(to, tree.field(part, KnownField::content_language));
  to += ' ';
  append_field(to, tree.field(part, KnownField::content_location));
}

std::vector<Parameter> type_parameters(const Tree& tree, const Part& part) {
  const auto value = tree.field(part, KnownField::content_type);
  if (!value || part.type_is_default) return {};
  return parse_parameterized(*value).parameters;
}

void append_multipart(std::string& to, const Tree& tree, const Part& part, bool extensions) {
  to += '(';
  for (auto child = part.first_child; child != kNoPart; child = tree[child].next_sibling)
    append_imap_bodystructure(to, tree, tree[child], extensions);
  // The grammar wants one body at least: an empty text, as other servers say.
  if (part.first_child == kNoPart) to += R"(("text" "plain" NIL NIL NIL "7bit" 0 0))";
  to += ' ';
  append_nstring(to, part.subtype);
  if (extensions) {
    to += ' ';
    append_parameters(to, type_parameters(tree, part));
    append_extensions(to, tree, part);
  }
  to += ')';
}

void append_encoding(std::string& to, const Tree& tree, const Part& part) {
  const auto value = tree.field(part, KnownField::content_transfer_encoding);
  if (part.encoding != TransferEncoding::unknown || !value) return append_nstring(to, name(part.encoding));
  const auto token = unfold(*value);
  append_nstring(to, token.empty() ? std::string_view("7bit") : std::string_view(token));
}

}  // namespace

void append_imap_bodystructure(std::string& to, const Tree& tree, const Part& part, bool extensions) {
  if (part.kind == Part::Kind::multipart) return append_multipart(to, tree, part, extensions);
  // A composite that was not looked into has no structure to show; its octets can still be fetched.
  const bool opaque = part.kind == Part::Kind::leaf &&
                      (iequals(part.type, "multipart") || part.is("message", "rfc822") || part.is("message", "global"));
  to += '(';
  append_nstring(to, opaque ? std::string_view("application") : part.type);
  to += ' ';
  append_nstring(to, opaque ? std::string_view("octet-stream") : part.subtype);
  to += ' ';
  if (part.type_is_default && part.is_text()) {
    to += R"(("charset" "us-ascii"))";
  } else {
    append_parameters(to, type_parameters(tree, part));
  }
  to += ' ';
  append_field(to, tree.field(part, KnownField::content_id));
  to += ' ';
  append_field(to, tree.field(part, KnownField::content_description));
  to += ' ';
  append_encoding(to, tree, part);
  to += ' ';
  append_decimal(to, part.body.crlf_octets());
  if (part.kind == Part::Kind::message) {
    const Part& child = tree[part.first_child];
    to += ' ';
    append_imap_envelope(to, tree, child);
    to += ' ';
    append_imap_bodystructure(to, tree, child, extensions);
    to += ' ';
    append_decimal(to, part.body.lines);
  } else if (part.is_text()) {
    to += ' ';
    append_decimal(to, part.body.lines);
  }
  if (extensions) {
    to += ' ';
    append_field(to, tree.field(part, KnownField::content_md5));
    append_extensions(to, tree, part);
  }
  to += ')';
}

std::string imap_body(const Tree& tree) {
  std::string out;
  append_imap_bodystructure(out, tree, tree.root(), false);
  return out;
}

std::string imap_bodystructure(const Tree& tree) {
  std::string out;
  append_imap_bodystructure(out, tree, tree.root(), true);
  return out;
}

}  // namespace mail::message
