#include "pop3/surrogate.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::pop3 {
namespace {

constexpr std::size_t kChunkOctets = 45;  // 60 octets of base64: an encoded word has at most 75 (RFC 2047 section 2)

/// Encoded words for `words`, cut between characters.
std::string encode(std::string_view words) {
  const std::string_view charset = is_utf8(words) ? "UTF-8" : "unknown-8bit";
  std::string out;
  while (!words.empty()) {
    std::size_t length = std::min(words.size(), kChunkOctets);
    while (length > 1 && length < words.size() && (static_cast<unsigned char>(words[length]) & 0xC0) == 0x80) --length;
    if (!out.empty()) out += "\n ";
    out += concat({"=?", charset, "?B?", to_base64(words.substr(0, length)), "?="});
    words.remove_prefix(length);
  }
  return out;
}

bool is_separator(char c) { return std::string_view(" \t\r\n,;:<>()\"").find(c) != std::string_view::npos; }

/// The value of one field: each run of words with 8-bit octets becomes one encoded text.
std::string encode_value(std::string_view value) {
  std::string out;
  while (!value.empty()) {
    if (value.front() == '"') {  // a quoted string holds no encoded words (RFC 2047 section 5): it is opened
      std::string content;
      std::size_t at = 1;
      for (; at < value.size() && value[at] != '"'; ++at) {
        if (value[at] == '\\' && at + 1 < value.size()) ++at;
        content += value[at];
      }
      const auto quoted = value.substr(0, std::min(at + 1, value.size()));
      value.remove_prefix(quoted.size());
      out += is_ascii(quoted) ? std::string(quoted) : encode(content);
      continue;
    }
    if (value.front() == '<') {  // an address: encoded words may not stand in it
      const auto close = value.find('>');
      const auto whole = value.substr(0, close == std::string_view::npos ? value.size() : close + 1);
      if (is_ascii(whole)) {
        out += whole;
      } else {
        out += concat({encode(whole), " :;"});
      }
      value.remove_prefix(whole.size());
      continue;
    }
    if (is_separator(value.front())) {
      out += value.front();
      value.remove_prefix(1);
      continue;
    }
    const auto end = std::find_if(value.begin(), value.end(), is_separator);
    const auto word = value.substr(0, static_cast<std::size_t>(end - value.begin()));
    value.remove_prefix(word.size());
    if (is_ascii(word)) {
      out += word;
    } else {
      out += encode(word);
      if (word.find('@') != std::string_view::npos) out += " :;";
    }
  }
  // Two neighbouring encoded words lose the blank between them when they are shown (RFC 2047 section 6.2): it is put
  // inside.
  return replace_all(out, "?= =?UTF-8?B?", "?=\n =?UTF-8?B?IA==?=\n =?UTF-8?B?");
}

}  // namespace

bool needs_surrogate(std::string_view header) { return !is_ascii(header); }

std::string surrogate_header(std::string_view header) {
  std::string out;
  while (!header.empty()) {
    // One field: a line and those after it that begin with a blank.
    std::size_t end = header.find('\n');
    while (end != std::string_view::npos && end + 1 < header.size() &&
           is_space(static_cast<unsigned char>(header[end + 1])))
      end = header.find('\n', end + 1);
    const auto field = header.substr(0, end == std::string_view::npos ? header.size() : end + 1);
    header.remove_prefix(field.size());
    if (is_ascii(field)) {
      out += field;
      continue;
    }
    const auto colon = field.find(':');
    if (colon == std::string_view::npos || !is_ascii(field.substr(0, colon)))
      continue;  // no field name that could be sent
    out += concat({field.substr(0, colon + 1), encode_value(field.substr(colon + 1))});
  }
  return out;
}

}  // namespace mail::pop3
