#include "message/encoded_word.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "message/charset.h"
#include "message/encoding.h"
#include "message/header.h"

namespace mail::message {

namespace {

struct EncodedWord {
  std::string_view charset;
  char encoding = 'q';
  std::string_view text;
  std::size_t octets = 0;  // of the whole word
};

/// The encoded word at the start of `text`. Lenient: the encoded text may hold blanks, and any length is taken.
std::optional<EncodedWord> encoded_word(std::string_view text) {
  if (!text.starts_with("=?")) return std::nullopt;
  std::size_t at = 2;
  while (at < text.size() && text[at] > ' ' && text[at] != '?' && static_cast<unsigned char>(text[at]) < 0x7F) ++at;
  if (at == 2 || at + 3 >= text.size() || text[at] != '?' || text[at + 2] != '?') return std::nullopt;
  EncodedWord word;
  word.charset = text.substr(2, at - 2);
  word.charset = word.charset.substr(0, word.charset.find('*'));  // language tag, RFC 2231
  word.encoding = ascii_lower(text[at + 1]);
  if (word.encoding != 'q' && word.encoding != 'b') return std::nullopt;
  const auto begin = at + 3;
  // "?=" that ends it; in Q the text may itself begin with '=' right after "?Q?", so "=?x?Q?=41?=" must not end at
  // once.
  auto end = text.find("?=", begin);
  if (end == std::string_view::npos) return std::nullopt;
  word.text = text.substr(begin, end - begin);
  if (word.text.find("=?") != std::string_view::npos) return std::nullopt;  // the next word has begun: this one was cut
  word.octets = end + 2;
  return word;
}

std::string octets_of(const EncodedWord& word) {
  if (word.encoding == 'b') return decode(TransferEncoding::base64, word.text);
  std::string text(word.text);
  std::ranges::replace(text, '_', ' ');
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '=' && i + 2 < text.size()) {
      if (const auto octet = from_hex(std::string_view(text).substr(i + 1, 2))) {
        out += *octet;
        i += 2;
        continue;
      }
    }
    if (text[i] != '\r' && text[i] != '\n') out += text[i];
  }
  return out;
}

/// Gathers octets of adjacent words of one charset, so that a character split between two is whole again.
class Joiner {
 public:
  explicit Joiner(std::string& to) : to_(to) {}
  void word(const EncodedWord& word) {
    if (!iequals(word.charset, charset_)) flush();
    charset_ = word.charset;
    octets_ += octets_of(word);
    active_ = true;
  }
  void flush() {
    if (!octets_.empty()) append_as_utf8(to_, octets_, charset_);
    octets_.clear();
    charset_.clear();
    active_ = false;
  }
  bool active() const { return active_; }

 private:
  std::string& to_;
  std::string octets_;
  std::string charset_;
  bool active_ = false;
};

void replace_controls(std::string& text, std::size_t from) {
  for (auto i = from; i < text.size(); ++i)
    if (static_cast<unsigned char>(text[i]) < 0x20 && text[i] != '\t') text[i] = ' ';
}

}  // namespace

void append_decoded_header_text(std::string& to, std::string_view value) {
  const auto start = to.size();
  if (value.find("=?") == std::string_view::npos) {
    if (is_ascii(value)) {
      append_unfolded(to, value);
    } else {
      append_as_utf8(to, unfold(value), "");
    }
    return replace_controls(to, start);
  }
  const auto text = unfold(value);
  std::string_view rest = text;
  Joiner words(to);
  while (!rest.empty()) {
    if (const auto word = encoded_word(rest)) {
      words.word(*word);
      rest.remove_prefix(word->octets);
      continue;
    }
    std::size_t length = 0;
    if (words.active()) {
      while (length < rest.size() && is_white(static_cast<unsigned char>(rest[length]))) ++length;
      if (length > 0 && encoded_word(rest.substr(length))) {
        rest.remove_prefix(length);  // white space between encoded words is for folding only
        continue;
      }
      words.flush();
    }
    const auto next = rest.find("=?", std::max<std::size_t>(length, 1));
    append_as_utf8(to, rest.substr(0, next), "");
    rest.remove_prefix(std::min(next, rest.size()));
  }
  words.flush();
  replace_controls(to, start);
}

std::string decode_header_text(std::string_view value) {
  std::string out;
  append_decoded_header_text(out, value);
  return std::string(trim(out));
}

namespace {

constexpr std::size_t kMostColumns = 76;  // RFC 2047 section 2: of a line that holds an encoded word
constexpr std::size_t kMostWord = 75;     // of one encoded word
constexpr std::string_view kPrefixQ = "=?utf-8?q?";
constexpr std::string_view kPrefixB = "=?utf-8?b?";

/// Allowed as they are in an encoded word within a phrase (RFC 2047 section 5 (3)), which is the narrowest rule and
/// used everywhere.
bool is_safe_in_q(unsigned char c) { return is_alnum(c) || c == '!' || c == '*' || c == '+' || c == '-' || c == '/'; }

std::string one_line(std::string_view text) {
  std::string out = repair_utf8(text);
  for (auto& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  return out;
}

std::size_t character_octets(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) ++length;
  return length;
}

std::string encode_words(std::string_view text, std::size_t column) {
  std::size_t special = 0;
  for (const char c : text) special += is_safe_in_q(static_cast<unsigned char>(c)) || c == ' ' ? 0 : 1;
  const bool q = text.size() + 2 * special <= (text.size() + 2) / 3 * 4;
  std::string out;
  bool first = true;
  while (!text.empty()) {
    // What is left of the first line, at least enough for one character.
    const std::size_t room =
        first && column + 25 < kMostColumns ? std::min(kMostWord, kMostColumns - column) : kMostWord;
    std::string encoded;
    std::size_t taken = 0;
    while (taken < text.size()) {
      const auto octets = character_octets(text.substr(taken));
      const auto character = text.substr(taken, octets);
      std::string piece;
      if (q) {
        for (const char c : character) {
          if (c == ' ') {
            piece += '_';
          } else if (is_safe_in_q(static_cast<unsigned char>(c))) {
            piece += c;
          } else {
            piece += "=" + to_upper(to_hex(std::string_view(&c, 1)));
          }
        }
      }
      const auto size = q ? encoded.size() + piece.size() : (taken + octets + 2) / 3 * 4;
      if (taken > 0 && kPrefixQ.size() + size + 2 > room) break;
      encoded += piece;
      taken += octets;
    }
    if (!q) encoded = to_base64(text.substr(0, taken));
    if (!first || column + kPrefixQ.size() + encoded.size() + 2 > kMostColumns) out += "\r\n ";
    out += concat({q ? kPrefixQ : kPrefixB, encoded, "?="});
    text.remove_prefix(taken);
    first = false;
  }
  return out;
}

std::string fold_words(std::string_view text, std::size_t column) {
  std::string out;
  while (!text.empty()) {
    std::size_t blanks = 0;
    while (blanks < text.size() && is_space(static_cast<unsigned char>(text[blanks]))) ++blanks;
    const auto end = std::min(text.find_first_of(" \t", blanks), text.size());
    // The blank becomes the folding one; a line of nothing but blanks must not arise (obs-FWS), so trailing ones stay
    // with their word.
    if (column + end > kMostColumns + 2 && blanks > 0 && end > blanks && !out.empty()) {
      out += "\r\n";
      column = 0;
    }
    out += text.substr(0, end);
    column += end;
    text.remove_prefix(end);
  }
  return out;
}

}  // namespace

std::string encode_unstructured(std::string_view text, std::size_t column) {
  const auto line = one_line(text);
  const auto words = split_words(line);
  const bool too_long = std::ranges::any_of(words, [](std::string_view word) { return word.size() > 900; });
  const bool plain = is_ascii(line) && line.find("=?") == std::string::npos && !too_long && !line.starts_with(' ') &&
                     !line.ends_with(' ');
  return plain ? fold_words(line, column) : encode_words(line, column);
}

std::string encode_phrase(std::string_view text) {
  const auto line = one_line(text);
  if (line.empty()) return "\"\"";
  if (!is_ascii(line) || line.find("=?") != std::string::npos || line.size() > 200) return encode_words(line, 0);
  const auto is_atext = [](char c) {
    return is_alnum(static_cast<unsigned char>(c)) ||
           std::string_view("!#$%&'*+-/=?^_`{|}~ ").find(c) != std::string_view::npos;
  };
  const bool atoms = std::ranges::all_of(line, is_atext) && !line.starts_with(' ') && !line.ends_with(' ') &&
                     line.find("  ") == std::string::npos;
  if (atoms) return line;
  std::string quoted = "\"";
  for (const char c : line) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace mail::message
