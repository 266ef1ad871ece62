#include "message/search_text.h"

#include <algorithm>

#include "base/strings.h"
#include "message/charset.h"
#include "message/encoded_word.h"
#include "message/header.h"
#include "message/html_text.h"
#include "message/parameters.h"

namespace mail::message {

namespace {

std::string charset_of(const Tree& tree, const Part& part) {
  const auto value = tree.field(part, KnownField::content_type);
  if (!value || part.type_is_default) return {};
  if (ifind(*value, "charset") == std::string_view::npos) return {};
  return parameter(*value, "charset").value_or("");
}

/// Multiparts in which no boundary was found hold their text themselves.
bool is_readable(const Part& part) {
  if (part.kind == Part::Kind::multipart) return part.first_child == kNoPart;
  return part.kind == Part::Kind::leaf && part.is_text();
}

}  // namespace

void append_header_search_text(std::string& to, std::string_view header) {
  std::string line;
  for (const auto& field : HeaderFields(header)) {
    line = field.name;
    line += ": ";
    append_decoded_header_text(line, field.value);
    line += '\n';
    append_folded(to, line);
    if (to.size() > kMaximumSearchText) return;
  }
}

std::string field_search_text(std::string_view value) { return fold_case(decode_header_text(value)); }

std::string decoded_content(const Tree& tree, const Part& part) {
  return is_identity(part.encoding) ? std::string(tree.body(part)) : decode(part.encoding, tree.body(part));
}

std::string decoded_text(const Tree& tree, const Part& part) {
  const auto charset = charset_of(tree, part);
  std::string out;
  if (is_identity(part.encoding)) {
    append_as_utf8(out, tree.body(part), charset);
  } else {
    append_as_utf8(out, decode(part.encoding, tree.body(part)), charset);
  }
  return out;
}

void append_body_search_text(std::string& to, const Tree& tree) {
  const auto most = to.size() + kMaximumSearchText;
  for (const auto& part : tree.parts()) {
    if (to.size() > most) break;
    if (part.parent != kNoPart) append_header_search_text(to, tree.header(part));
    if (!is_readable(part)) continue;
    const bool html = iequals(part.subtype, "html");
    if (html) {
      append_folded(to, html_to_text(decoded_text(tree, part), {.links = false, .line_breaks = false}));
    } else if (is_identity(part.encoding) && is_ascii(tree.body(part))) {
      append_folded(to, tree.body(part));
    } else {
      append_folded(to, decoded_text(tree, part));
    }
    to += '\n';
  }
  if (to.size() > most) to.resize(most);
}

std::size_t search_text(std::string_view raw, Tree& tree, std::string& to) {
  parse(raw, tree);
  to.clear();
  append_header_search_text(to, tree.header(tree.root()));
  const auto body = to.size();
  append_body_search_text(to, tree);
  return body;
}

std::string preview(const Tree& tree, std::size_t characters) {
  const Part* chosen = nullptr;
  for (const auto& part : tree.parts()) {
    if (!is_readable(part)) continue;
    if (chosen == nullptr) chosen = &part;
    if (!iequals(part.subtype, "html")) {
      chosen = &part;
      break;
    }
  }
  if (chosen == nullptr) return {};
  constexpr std::size_t kEnough = 64U << 10U;  // octets looked at: the answer is short
  auto text = decoded_text(tree, *chosen);
  if (iequals(chosen->subtype, "html"))
    text = html_to_text(std::string_view(text).substr(0, 4 * kEnough), {.links = false, .line_breaks = true});
  std::string out;
  std::size_t count = 0;
  for (const auto line : split(std::string_view(text).substr(0, kEnough), '\n')) {
    if (line.starts_with('>')) continue;
    for (const auto word : split_words(line)) {
      if (!out.empty()) out += ' ', ++count;
      for (const char c : word) {
        if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U && ++count > characters) return out;
        if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) out += c;
      }
    }
  }
  return out;
}

}  // namespace mail::message
