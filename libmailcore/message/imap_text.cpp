#include "message/imap_text.h"

#include <algorithm>

#include "base/strings.h"
#include "message/address.h"
#include "message/header.h"
#include "message/parameters.h"

namespace mail::message {

void append_nstring(std::string& to, std::string_view text) {
  if (text.data() == nullptr) {
    to += "NIL";
    return;
  }
  bool plain = text.size() <= 1000, escape = false;
  for (const char c : text) {
    plain = plain && c >= ' ' && c != 0x7F;  // 8-bit octets too: a quoted string may not hold them before UTF8=ACCEPT
    escape = escape || c == '"' || c == '\\';
  }
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
  } else if (value->find_first_of("\r\n") == std::string_view::npos) {
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

void append_address(std::string& to, const Address& address) {
  to += '(';
  if (address.kind == Address::Kind::group_begin) {
    to += "NIL NIL ";
    append_nstring(to, std::string_view(address.display_name));
    to += " NIL)";
    return;
  }
  if (address.kind == Address::Kind::group_end) {
    to += "NIL NIL NIL NIL)";
    return;
  }
  append_or_nil(to, address.display_name);
  to += ' ';
  append_or_nil(to, address.route);
  to += ' ';
  // Neither may be NIL: that would say "group" (RFC 9051 section 7.5.2).
  append_nstring(to, std::string_view(address.local_part));
  to += ' ';
  append_nstring(to, std::string_view(address.domain));
  to += ')';
}

/// The list, or NIL where there is no address in it. Repeated fields count as one list.
void append_addresses(std::string& to, const Tree& tree, const Part& message, KnownField field, std::string_view name) {
  const auto start = to.size();
  to += '(';
  const auto add = [&](const Address& address) { append_address(to, address); };
  if (tree.repeated(message, field)) {
    for (const auto& each : HeaderFields(tree.header(message)))
      if (iequals(each.name, name)) for_each_address(each.value, add);
  } else if (const auto value = tree.field(message, field)) {
    for_each_address(*value, add);
  }
  if (to.size() == start + 1) {
    to.resize(start);
    to += "NIL";
  } else {
    to += ')';
  }
}

}  // namespace

void append_imap_envelope(std::string& to, const Tree& tree, const Part& message) {
  to += '(';
  append_field(to, tree.field(message, KnownField::date));
  to += ' ';
  append_field(to, tree.field(message, KnownField::subject));
  to += ' ';
  const auto from_begin = to.size();
  append_addresses(to, tree, message, KnownField::from, "from");
  const auto from_octets = to.size() - from_begin;
  // Sender and Reply-To are From where they are absent or empty (RFC 9051 section 7.5.2).
  for (const auto& [field, name] :
       {std::pair{KnownField::sender, "sender"}, std::pair{KnownField::reply_to, "reply-to"}}) {
    to += ' ';
    const auto begin = to.size();
    append_addresses(to, tree, message, field, name);
    if (std::string_view(to).substr(begin) != "NIL") continue;
    to.resize(begin);
    to.append(to, from_begin, from_octets);
  }
  for (const auto& [field, name] :
       {std::pair{KnownField::to, "to"}, std::pair{KnownField::cc, "cc"}, std::pair{KnownField::bcc, "bcc"}}) {
    to += ' ';
    append_addresses(to, tree, message, field, name);
  }
  to += ' ';
  append_field(to, tree.field(message, KnownField::in_reply_to));
  to += ' ';
  append_field(to, tree.field(message, KnownField::message_id));
  to += ')';
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
