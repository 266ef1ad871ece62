#include "base/mutf7.h"

#include <cstdint>

#include "base/strings.h"

namespace mail {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// One code point of well-formed UTF-8; `at` moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto octet = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const char32_t first = octet(at);
  if (first < 0x80) return at += 1, first;
  if (first < 0xE0) return at += 2, ((first & 0x1F) << 6) | (octet(at - 1) & 0x3F);
  if (first < 0xF0) return at += 3, ((first & 0x0F) << 12) | ((octet(at - 2) & 0x3F) << 6) | (octet(at - 1) & 0x3F);
  return at += 4, ((first & 0x07) << 18) | ((octet(at - 3) & 0x3F) << 12) | ((octet(at - 2) & 0x3F) << 6) |
                      (octet(at - 1) & 0x3F);
}

bool is_direct(char32_t c) { return c >= 0x20 && c <= 0x7E; }

}  // namespace

std::optional<std::string> to_mutf7(std::string_view utf8) {
  if (!is_utf8(utf8)) return std::nullopt;
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  bool shifted = false;
  const auto put_unit = [&](std::uint32_t unit) {
    bits = (bits << 16) | unit;
    for (count += 16; count >= 6; count -= 6) out += kAlphabet[(bits >> (count - 6)) & 63];
    bits &= (1U << count) - 1;
  };
  const auto end_shift = [&] {
    if (!shifted) return;
    if (count > 0) out += kAlphabet[(bits << (6 - count)) & 63];
    out += '-';
    bits = 0, count = 0, shifted = false;
  };
  for (std::size_t at = 0; at < utf8.size();) {
    const char32_t c = next_code_point(utf8, at);
    if (is_direct(c)) {
      end_shift();
      out += static_cast<char>(c);
      if (c == '&') out += '-';
      continue;
    }
    if (!shifted) out += '&', shifted = true;
    if (c >= 0x10000) {
      put_unit(0xD800 + static_cast<std::uint32_t>((c - 0x10000) >> 10));
      put_unit(0xDC00 + static_cast<std::uint32_t>((c - 0x10000) & 0x3FF));
    } else {
      put_unit(static_cast<std::uint32_t>(c));
    }
  }
  end_shift();
  return out;
}

std::optional<std::string> from_mutf7(std::string_view name) {
  std::string out;
  for (std::size_t at = 0; at < name.size();) {
    const auto c = static_cast<unsigned char>(name[at]);
    if (!is_direct(c)) return std::nullopt;
    if (c != '&') {
      out += static_cast<char>(c), ++at;
      continue;
    }
    const auto end = name.find('-', ++at);
    if (end == std::string_view::npos) return std::nullopt;
    if (end == at) out += '&';
    std::uint32_t bits = 0, high = 0;
    int count = 0;
    for (; at < end; ++at) {
      const auto value = kAlphabet.find(name[at]);
      if (value == std::string_view::npos) return std::nullopt;
      bits = (bits << 6) | static_cast<std::uint32_t>(value);
      if ((count += 6) < 16) continue;
      count -= 16;
      const std::uint32_t unit = (bits >> count) & 0xFFFF;
      bits &= (1U << count) - 1;
      if (high != 0) {
        if (unit < 0xDC00 || unit > 0xDFFF) return std::nullopt;
        append_utf8(out, 0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00));
        high = 0;
      } else if (unit >= 0xD800 && unit <= 0xDBFF) {
        high = unit;
      } else {
        append_utf8(out, unit);
      }
    }
    if (high != 0) return std::nullopt;
    at = end + 1;
  }
  // One name, one encoding: overlong shifts, wrong padding and encoded ASCII all fail here.
  const auto again = to_mutf7(out);
  if (!again || *again != name) return std::nullopt;
  return out;
}

}  // namespace mail
