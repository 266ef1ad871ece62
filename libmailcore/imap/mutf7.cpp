#include "imap/mutf7.h"

#include <array>
#include <cstdint>
#include <vector>

#include "base/strings.h"

namespace mail::imap {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

constexpr std::array<std::int8_t, 256> kValues = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
  return values;
}();

bool is_direct(unsigned char c) { return c >= 0x20 && c <= 0x7e; }

/// One code point of well-formed UTF-8.
char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto octet = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = octet(at);
  const std::size_t extra = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  char32_t code = extra == 0 ? lead : static_cast<char32_t>(lead & (0x3f >> extra));
  for (std::size_t i = 1; i <= extra && at + i < text.size(); ++i) code = (code << 6) | (octet(at + i) & 0x3fU);
  at += extra + 1;
  return code;
}

void append_shifted(std::string& out, const std::vector<std::uint16_t>& units) {
  out += '&';
  std::uint32_t bits = 0;
  int count = 0;
  for (const auto unit : units) {
    bits = (bits << 16) | unit;
    count += 16;
    while (count >= 6) {
      count -= 6;
      out += kAlphabet[(bits >> count) & 0x3f];
    }
  }
  if (count > 0) out += kAlphabet[(bits << (6 - count)) & 0x3f];
  out += '-';
}

}  // namespace

std::string to_mutf7(std::string_view utf8) {
  std::string out;
  out.reserve(utf8.size());
  std::vector<std::uint16_t> units;
  for (std::size_t at = 0; at < utf8.size();) {
    const auto c = static_cast<unsigned char>(utf8[at]);
    if (is_direct(c)) {
      if (!units.empty()) append_shifted(out, units), units.clear();
      out += static_cast<char>(c);
      if (c == '&') out += '-';
      ++at;
      continue;
    }
    const char32_t code = next_code_point(utf8, at);
    if (code >= 0x10000) {
      units.push_back(static_cast<std::uint16_t>(0xd800 + ((code - 0x10000) >> 10)));
      units.push_back(static_cast<std::uint16_t>(0xdc00 + ((code - 0x10000) & 0x3ff)));
    } else {
      units.push_back(static_cast<std::uint16_t>(code));
    }
  }
  if (!units.empty()) append_shifted(out, units);
  return out;
}

namespace {

/// What stands between `&` and `-`, to UTF-8; false where it is not canonical.
bool append_unshifted(std::string& out, std::string_view base64) {
  std::uint32_t bits = 0;
  int count = 0;
  char32_t high = 0;
  for (const char c : base64) {
    const int value = kValues[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 16) continue;
    count -= 16;
    const auto unit = static_cast<std::uint16_t>(bits >> count);
    bits &= (1U << count) - 1;
    if (high != 0) {
      if (unit < 0xdc00 || unit > 0xdfff) return false;
      append_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00U));
      high = 0;
    } else if (unit >= 0xd800 && unit <= 0xdbff) {
      high = unit;
    } else if ((unit >= 0xdc00 && unit <= 0xdfff) || (unit >= 0x20 && unit <= 0x7e)) {
      return false;
    } else {
      append_utf8(out, unit);
    }
  }
  return high == 0 && count < 6 && bits == 0;
}

}  // namespace

std::optional<std::string> from_mutf7(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool after_shift = false;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (!is_direct(static_cast<unsigned char>(c))) return std::nullopt;
    if (c != '&') {
      out += c;
      ++at;
      after_shift = false;
      continue;
    }
    const auto end = text.find('-', at);
    if (end == std::string_view::npos) return std::nullopt;
    const auto base64 = text.substr(at + 1, end - at - 1);
    if (base64.empty()) {
      out += '&';
      after_shift = false;
    } else {
      if (after_shift || !append_unshifted(out, base64)) return std::nullopt;
      after_shift = true;
    }
    at = end + 1;
  }
  return out;
}

std::optional<std::string> mailbox_name_from_wire(std::string_view text, bool utf8_names) {
  const bool ascii = is_ascii(text);
  if (!ascii && !is_utf8(text)) return std::nullopt;
  // Raw UTF-8 is no mUTF-7 at all, so there is nothing to mix it up with: taken also where the client has not said so.
  if (utf8_names || !ascii) return std::string(text);
  return from_mutf7(text);
}

bool list_pattern_matches(std::string_view pattern, std::string_view name, char separator) {
  // The set of name positions that the pattern read so far can have reached; no backtracking, so `*%*%*%…` costs no
  // more than any other.
  std::vector<bool> reached(name.size() + 1, false);
  reached[0] = true;
  const bool inbox =
      name.size() >= 5 && iequals(name.substr(0, 5), "INBOX") && (name.size() == 5 || name[5] == separator);
  for (const char p : pattern) {
    if (p == '*' || p == '%') {
      bool open = false;
      for (std::size_t i = 0; i <= name.size(); ++i) {
        open = open || reached[i];
        reached[i] = open;
        if (p == '%' && i < name.size() && name[i] == separator) open = false;
      }
      continue;
    }
    bool previous = false;
    bool any = false;
    for (std::size_t i = 0; i <= name.size(); ++i) {
      const bool now = previous;
      previous = false;
      if (i < name.size() && reached[i])
        previous = name[i] == p || (inbox && i < 5 && ascii_upper(name[i]) == ascii_upper(p));
      reached[i] = now;
      any = any || now;
    }
    if (!any) return false;
  }
  return reached[name.size()];
}

}  // namespace mail::imap
