#include "message/search_text.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>

#include "base/contains.h"
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

/// A part in plain ASCII: its text is what lies there, but for case.
bool is_plain(const Tree& tree, const Part& part) {
  return is_identity(part.encoding) && !iequals(part.subtype, "html") && is_ascii(tree.body(part));
}

void append_readable(std::string& to, const Tree& tree, const Part& part) {
  if (iequals(part.subtype, "html"))
    append_folded(to, html_to_text(decoded_text(tree, part), {.links = false, .line_breaks = false}));
  else if (is_plain(tree, part))
    append_folded(to, tree.body(part));
  else
    append_folded(to, decoded_text(tree, part));
}

/// As contains(fold_case(text), needle), of ASCII.
bool folded_contains(std::string_view text, std::string_view needle) {
  if (text.size() < needle.size() || needle.empty()) return needle.empty();
  const auto here = [&](std::size_t at) {
    return std::equal(needle.begin(), needle.end(), text.begin() + static_cast<std::ptrdiff_t>(at),
                      [](char wanted, char c) { return wanted == ascii_lower(c); });
  };
  const auto places = text.size() - needle.size() + 1;
  std::size_t at = 0;
#ifdef __SSE2__
  // Where the first and the last octet fit, whatever their case; what else 0x20 makes equal is sorted out by here().
  const auto blur = _mm_set1_epi8(0x20);
  const auto first = _mm_or_si128(_mm_set1_epi8(needle.front()), blur),
             last = _mm_or_si128(_mm_set1_epi8(needle.back()), blur);
  const auto fits = [&](std::size_t from, __m128i octet) {
    const auto block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from));
    return _mm_cmpeq_epi8(_mm_or_si128(block, blur), octet);
  };
  for (; at + 16 <= places; at += 16) {
    const auto both = _mm_and_si128(fits(at, first), fits(at + needle.size() - 1, last));
    for (auto bits = static_cast<unsigned>(_mm_movemask_epi8(both)); bits != 0; bits &= bits - 1)
      if (here(at + static_cast<std::size_t>(__builtin_ctz(bits)))) return true;
  }
#endif
  for (; at < places; ++at)
    if (here(at)) return true;
  return false;
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
    append_readable(to, tree, part);
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

bool search_text_contains(std::string_view raw, bool with_header, std::string_view needle, Tree& tree,
                          std::string& scratch) {
  constexpr std::size_t kSure = 1U << 20U;  // of no more octets than this the text is cut nowhere
  if (raw.size() > kSure || needle.find('\n') != std::string_view::npos) {
    const auto body = search_text(raw, tree, scratch);
    return contains(std::string_view(scratch).substr(with_header ? 0 : body), needle);
  }
  parse(raw, tree);
  const auto in_header = [&](const Part& part) {
    scratch.clear();
    append_header_search_text(scratch, tree.header(part));
    return contains(scratch, needle);
  };
  const auto in_body = [&](const Part& part) {
    if (is_plain(tree, part)) return folded_contains(tree.body(part), needle);
    scratch.clear();
    append_readable(scratch, tree, part);
    return contains(scratch, needle);
  };
  return std::ranges::any_of(tree.parts(), [&](const Part& part) {
    return ((with_header || part.parent != kNoPart) && in_header(part)) || (is_readable(part) && in_body(part));
  });
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
