// ASCII text helpers. Locale plays no part: protocol keywords are ASCII, everything else is octets.
#pragma once
#include <charconv>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mail {

constexpr bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_alnum(unsigned char c) { return is_digit(c) || is_alpha(c); }
constexpr bool is_space(unsigned char c) { return c == ' ' || c == '\t'; }
/// Space, tab, CR and LF.
constexpr bool is_white(unsigned char c) { return is_space(c) || c == '\r' || c == '\n'; }
constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);
bool iends_with(std::string_view text, std::string_view suffix);
/// Position of `needle` in `text` without regard to ASCII case, or npos.
std::size_t ifind(std::string_view text, std::string_view needle);
/// For std::map and std::unordered_map keys compared without regard to ASCII case.
struct ILess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};

std::string_view trim(std::string_view text);  ///< Without is_white() octets at both ends.
std::vector<std::string_view> split(std::string_view text, char separator);
/// The parts separated by runs of white space; no empty parts.
std::vector<std::string_view> split_words(std::string_view text);
/// Before and after the first `separator`; the second is empty where there is none.
std::pair<std::string_view, std::string_view> split_once(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

std::string concat(std::initializer_list<std::string_view> parts);
template <std::integral T>
std::string decimal(T value) {
  return std::to_string(value);
}
void append_decimal(std::string& to, std::uint64_t value);
/// The whole of `text` as a decimal number, or nothing.
template <std::integral T = std::uint64_t>
std::optional<T> parse_decimal(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string to_hex(std::string_view octets);
std::optional<std::string> from_hex(std::string_view text);
/// RFC 4648 section 4, one line.
std::string to_base64(std::string_view octets);
/// Strict: nothing but the alphabet and right padding (RFC 4954 and SASL exchanges ask for that).
std::optional<std::string> from_base64(std::string_view text);

/// True where `text` is well-formed UTF-8 (RFC 3629: no overlong forms, surrogates, nothing above U+10FFFF).
bool is_utf8(std::string_view text);
bool is_ascii(std::string_view text);
/// UTF-8 of one code point appended; U+FFFD for what is none.
void append_utf8(std::string& to, char32_t code_point);

/// `text` fit for a terminal or a one-line message: control characters as \xNN, invalid UTF-8 as U+FFFD, bidi controls
/// removed.
std::string printable(std::string_view text);

}  // namespace mail
