#include "message/charset.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "base/freed.h"
#include "base/strings.h"

namespace mail::message {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// windows-1252 from 0x80 to 0x9F; the WHATWG table, which gives the C1 control where Microsoft left a gap.
constexpr std::array<char16_t, 32> kWindows1252{
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178,
};

/// Eight octets at a time: most mail is ASCII.
std::size_t ascii_run(std::string_view text) {
  std::size_t length = 0;
  while (length + 8 <= text.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + length, 8);
    if ((word & 0x8080808080808080U) != 0) break;
    length += 8;
  }
  while (length < text.size() && static_cast<unsigned char>(text[length]) < 0x80) ++length;
  return length;
}

void append_windows_1252(std::string& to, std::string_view octets) {
  while (!octets.empty()) {
    const auto run = ascii_run(octets);
    to += octets.substr(0, run);
    octets.remove_prefix(run);
    if (octets.empty()) return;
    const auto c = static_cast<unsigned char>(octets.front());
    append_utf8(to, c < 0xA0 ? kWindows1252[c - 0x80U] : char32_t{c});
    octets.remove_prefix(1);
  }
}

// ICU's macro narrows an int.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
/// The character at `at`, which moves behind it; negative where the octets are none.
UChar32 next_character(std::string_view text, std::size_t& at) {
  std::int32_t step = 0;
  UChar32 c = 0;
  const auto* octets = text.data() + at;
  const auto most = static_cast<std::int32_t>(std::min<std::size_t>(text.size() - at, 8));
  U8_NEXT(octets, step, most, c);
  at += static_cast<std::size_t>(step);
  return c;
}
#pragma GCC diagnostic pop

void append_repaired(std::string& to, std::string_view text) {
  while (!text.empty()) {
    const auto run = ascii_run(text);
    to += text.substr(0, run);
    text.remove_prefix(run);
    if (text.empty()) return;
    std::size_t octets = 0;
    if (next_character(text, octets) < 0) {
      to += kReplacement;
    } else {
      to += text.substr(0, octets);
    }
    text.remove_prefix(octets);
  }
}

using Converter = std::unique_ptr<UConverter, Freed<ucnv_close>>;

/// One converter for each charset and thread: opening one costs more than a header.
UConverter* converter(const std::string& charset) {
  constexpr std::size_t kMostKept = 64;  // names come from the network
  thread_local std::unordered_map<std::string, Converter> kept;
  if (const auto found = kept.find(charset); found != kept.end()) return found->second.get();
  if (charset.empty() || charset.size() > 60) return nullptr;
  if (kept.size() >= kMostKept) kept.clear();
  UErrorCode error = U_ZERO_ERROR;
  Converter opened(ucnv_open(charset.c_str(), &error));
  if (U_FAILURE(error)) opened.reset();
  return kept.emplace(charset, std::move(opened)).first->second.get();
}

bool append_by_icu(std::string& to, std::string_view octets, const std::string& charset) {
  UConverter* from = converter(charset);
  if (from == nullptr) return false;
  ucnv_resetToUnicode(from);
  UErrorCode error = U_ZERO_ERROR;
  const char* source = octets.data();
  const char* const end = octets.data() + octets.size();
  std::array<UChar, 1024> buffer{};
  do {
    error = U_ZERO_ERROR;
    UChar* target = buffer.data();
    ucnv_toUnicode(from, &target, buffer.data() + buffer.size(), &source, end, nullptr, true, &error);
    icu::UnicodeString(false, buffer.data(), static_cast<std::int32_t>(target - buffer.data())).toUTF8String(to);
  } while (error == U_BUFFER_OVERFLOW_ERROR);
  return true;
}

/// The name that mail means by what it says (the WHATWG's view of labels, which is what readers apply).
std::string canonical(std::string_view charset) {
  auto name = to_lower(trim(charset));
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kMeant{{
      {"ks_c_5601-1987", "windows-949"},
      {"euc-kr", "windows-949"},
      {"gb2312", "gb18030"},
      {"gbk", "gb18030"},
      {"x-gbk", "gb18030"},
      {"hz-gb-2312", "hz"},
      {"cp-850", "cp850"},
      {"tis-620", "windows-874"},
      {"x-sjis", "windows-31j"},
      {"shift_jis", "windows-31j"},
      {"iso-8859-9", "windows-1254"},
      {"iso-8859-8-i", "iso-8859-8"},
  }};
  for (const auto& [said, meant] : kMeant)
    if (name == said) return std::string(meant);
  return name;
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}
bool is_utf8_name(std::string_view name) { return is_one_of(name, {"utf-8", "utf8", "unicode-1-1-utf-8", "utf-8mb4"}); }
bool is_ascii_name(std::string_view name) { return is_one_of(name, {"us-ascii", "ascii", "ansi_x3.4-1968"}); }
bool is_latin_name(std::string_view name) {
  return is_one_of(name, {"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "windows-1252", "cp1252",
                          "cp-1252", "x-ansi"});
}

void append_unlabelled(std::string& to, std::string_view octets) {
  if (is_utf8(octets)) {
    to += octets;
  } else {
    append_windows_1252(to, octets);
  }
}

}  // namespace

bool append_as_utf8(std::string& to, std::string_view octets, std::string_view charset) {
  const auto name = canonical(charset);
  if (is_utf8_name(name)) return append_repaired(to, octets), true;
  if (is_latin_name(name)) return append_windows_1252(to, octets), true;
  if (is_ascii_name(name) || name.empty()) return append_unlabelled(to, octets), !name.empty();
  if (append_by_icu(to, octets, name)) return true;
  append_unlabelled(to, octets);
  return false;
}

std::string to_utf8(std::string_view octets, std::string_view charset) {
  std::string out;
  append_as_utf8(out, octets, charset);
  return out;
}

bool is_known_charset(std::string_view charset) {
  const auto name = canonical(charset);
  return is_utf8_name(name) || is_latin_name(name) || is_ascii_name(name) || converter(name) != nullptr;
}

std::string repair_utf8(std::string_view text) {
  std::string out;
  append_repaired(out, text);
  return out;
}

void append_folded(std::string& to, std::string_view text) {
  while (!text.empty()) {
    const auto run = ascii_run(text);
    const auto from = to.size();
    to += text.substr(0, run);
    for (auto i = from; i < to.size(); ++i) to[i] = ascii_lower(to[i]);
    text.remove_prefix(run);
    if (text.empty()) return;
    // The longest run without line ends and such, at least up to the next ASCII word: composition never reaches over a
    // control or a blank.
    std::size_t length = 0;
    while (length < text.size() && static_cast<unsigned char>(text[length]) > ' ') ++length;
    UErrorCode error = U_ZERO_ERROR;
    const auto* normalizer = icu::Normalizer2::getNFKDInstance(error);
    auto word = icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(length)));
    word.foldCase();
    if (U_SUCCESS(error)) word = normalizer->normalize(word, error);
    word.foldCase();
    word.toUTF8String(to);
    text.remove_prefix(length);
  }
}

std::string fold_case(std::string_view text) {
  std::string out;
  append_folded(out, text);
  return out;
}

namespace {
std::size_t columns_of(UChar32 c) {
  if (c < 0x20 || c == 0x7F) return 0;
  const auto type = u_charType(c);
  if (type == U_NON_SPACING_MARK || type == U_ENCLOSING_MARK || type == U_FORMAT_CHAR) return 0;
  const auto width = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
  return width == U_EA_FULLWIDTH || width == U_EA_WIDE ? 2 : 1;
}
}  // namespace

std::size_t display_columns(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto c = next_character(text, at);
    columns += c < 0 ? 1 : columns_of(c);
  }
  return columns;
}

std::string_view clip_columns(std::string_view text, std::size_t columns) {
  std::size_t used = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto before = at;
    const auto c = next_character(text, at);
    used += c < 0 ? 1 : columns_of(c);
    if (used > columns) return text.substr(0, before);
  }
  return text;
}

}  // namespace mail::message
