#include "message/encoding.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/strings.h"

namespace mail::message {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::array<std::int8_t, 256> kBase64Values = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
  return values;
}();

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// The first token of a value: comments and white space passed over, ended by white space, ';' or '('.
std::string_view first_token(std::string_view value) {
  for (;;) {
    value = trim(value);
    if (!value.starts_with('(')) break;
    const auto end = value.find(')');
    if (end == std::string_view::npos) return {};
    value.remove_prefix(end + 1);
  }
  std::size_t length = 0;
  while (length < value.size() && !is_white(static_cast<unsigned char>(value[length])) && value[length] != ';' &&
         value[length] != '(')
    ++length;
  value = value.substr(0, length);
  if (value.size() > 1 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  return value;
}

struct EncodingName {
  std::string_view name;
  TransferEncoding encoding;
};
constexpr std::array kNames{
    EncodingName{"7bit", TransferEncoding::seven_bit},
    EncodingName{"8bit", TransferEncoding::eight_bit},
    EncodingName{"binary", TransferEncoding::binary},
    EncodingName{"quoted-printable", TransferEncoding::quoted_printable},
    EncodingName{"base64", TransferEncoding::base64},
    EncodingName{"x-uuencode", TransferEncoding::uuencode},
    EncodingName{"uuencode", TransferEncoding::uuencode},
    EncodingName{"x-uue", TransferEncoding::uuencode},
    EncodingName{"x-uu", TransferEncoding::uuencode},
};

}  // namespace

TransferEncoding parse_transfer_encoding(std::string_view value) {
  const auto token = first_token(value);
  if (token.empty()) return TransferEncoding::seven_bit;
  for (const auto& row : kNames)
    if (iequals(row.name, token)) return row.encoding;
  return TransferEncoding::unknown;
}

std::string_view name(TransferEncoding encoding) {
  for (const auto& row : kNames)
    if (row.encoding == encoding) return row.name;
  return "unknown";
}

void Decoder::base64(std::string_view octets, std::string& to) {
  to.reserve(to.size() + octets.size() / 4 * 3 + 3);
  for (std::size_t i = 0; i < octets.size();) {
    // The fast path: whole groups of four, which is all of a line but its end.
    if (count_ == 0 && !ended_) {
      while (i + 4 <= octets.size()) {
        const auto value = [&](std::size_t k) {
          return static_cast<int>(kBase64Values[static_cast<unsigned char>(octets[i + k])]);
        };
        const int a = value(0), b = value(1), c = value(2), d = value(3);
        if ((a | b | c | d) < 0) break;
        const auto group = static_cast<std::uint32_t>(a << 18 | b << 12 | c << 6 | d);
        const char three[3] = {static_cast<char>(group >> 16), static_cast<char>(group >> 8), static_cast<char>(group)};
        to.append(three, 3);
        i += 4;
      }
      if (i >= octets.size()) break;
    }
    const char c = octets[i++];
    if (c == '\r' || c == '\n' || c == ' ' || c == '\t') continue;
    if (c == '=') {
      // Some mailers join encoded pieces, each with its padding: what follows starts afresh.
      if (count_ == 2) to += static_cast<char>(bits_ >> 4);
      if (count_ == 3) to += static_cast<char>(bits_ >> 10), to += static_cast<char>(bits_ >> 2);
      if (count_ == 1) damaged_ = true;
      count_ = 0;
      bits_ = 0;
      continue;
    }
    const int value = kBase64Values[static_cast<unsigned char>(c)];
    if (value < 0) {
      damaged_ = true;
      continue;
    }
    bits_ = bits_ << 6 | static_cast<std::uint32_t>(value);
    if (++count_ < 4) continue;
    to += static_cast<char>(bits_ >> 16), to += static_cast<char>(bits_ >> 8), to += static_cast<char>(bits_);
    count_ = 0;
    bits_ = 0;
  }
}

// `pending_` holds what cannot be decided yet: white space that may be at a line's end, or the start of an escape.
void Decoder::quoted_printable(std::string_view octets, std::string& to) {
  for (std::size_t i = 0; i < octets.size();) {
    if (pending_.empty()) {
      std::size_t length = i;
      while (length < octets.size() && octets[length] != '=' && octets[length] != ' ' && octets[length] != '\t' &&
             octets[length] != '\r')
        ++length;
      to += octets.substr(i, length - i);
      i = length;
      if (i == octets.size()) return;
      pending_ += octets[i++];
      continue;
    }
    const char c = octets[i];
    if (pending_.front() != '=') {  // white space, then perhaps CR
      if (pending_.back() != '\r' && (c == ' ' || c == '\t' || c == '\r')) {
        pending_ += c, ++i;
        continue;
      }
      if (c == '\n') {
        if (pending_.back() == '\r') to += '\r';
      } else {
        to += pending_;
      }
      pending_.clear();
      continue;  // c is looked at again as the start of something
    }
    // After '=': white space and a line end (a soft break, transport padding allowed), or two hexadecimal digits.
    const char last = pending_.back();
    if (c == '\n' && (pending_.size() == 1 || is_white(static_cast<unsigned char>(last)))) {
      pending_.clear(), ++i;
    } else if ((c == ' ' || c == '\t' || c == '\r') &&
               (pending_.size() == 1 || is_space(static_cast<unsigned char>(last)))) {
      pending_ += c, ++i;
    } else if (pending_.size() == 1 && hex_value(c) >= 0) {
      pending_ += c, ++i;
    } else if (pending_.size() == 2 && hex_value(last) >= 0 && hex_value(c) >= 0) {
      to += static_cast<char>(hex_value(last) << 4 | hex_value(c));
      pending_.clear(), ++i;
    } else {
      damaged_ = true;
      to += pending_;
      pending_.clear();
    }
  }
}

void Decoder::uuencode_line(std::string_view line, std::string& to) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (ended_) return;
  if (!started_) {
    started_ = line.starts_with("begin ");
    return;
  }
  if (line == "end" || line.empty()) {
    ended_ = line == "end";
    return;
  }
  const auto value = [&](std::size_t i) { return i < line.size() ? static_cast<unsigned>(line[i] - ' ') & 63U : 0U; };
  unsigned left = value(0);
  if (left > (line.size() - 1) / 4 * 3 + 2) damaged_ = true;
  for (std::size_t i = 1; left > 0 && i < line.size(); i += 4) {
    const unsigned group = value(i) << 18 | value(i + 1) << 12 | value(i + 2) << 6 | value(i + 3);
    for (int shift = 16; shift >= 0 && left > 0; shift -= 8, --left)
      to += static_cast<char>(group >> static_cast<unsigned>(shift));
  }
}

void Decoder::decode(std::string_view octets, std::string& to) {
  switch (encoding_) {
    case TransferEncoding::base64:
      return base64(octets, to);
    case TransferEncoding::quoted_printable:
      return quoted_printable(octets, to);
    case TransferEncoding::uuencode:
      for (;;) {
        const auto end = octets.find('\n');
        if (end == std::string_view::npos) break;
        pending_ += octets.substr(0, end);
        uuencode_line(pending_, to);
        pending_.clear();
        octets.remove_prefix(end + 1);
      }
      pending_ += octets;
      return;
    default:
      to += octets;
  }
}

void Decoder::finish(std::string& to) {
  if (encoding_ == TransferEncoding::base64) {
    if (count_ == 2) to += static_cast<char>(bits_ >> 4);
    if (count_ == 3) to += static_cast<char>(bits_ >> 10), to += static_cast<char>(bits_ >> 2);
    if (count_ != 0) damaged_ = true;
    count_ = 0;
  } else if (encoding_ == TransferEncoding::quoted_printable) {
    if (pending_.starts_with('\r'))
      to += pending_;  // white space at the end of all is padding; "=" there is a soft break
    if (pending_.size() > 1 && pending_.front() == '=' && !is_white(static_cast<unsigned char>(pending_[1])))
      to += pending_, damaged_ = true;
  } else if (encoding_ == TransferEncoding::uuencode && !pending_.empty()) {
    uuencode_line(pending_, to);
  }
  pending_.clear();
}

std::string decode(TransferEncoding encoding, std::string_view octets) {
  std::string out;
  Decoder decoder(encoding);
  decoder.decode(octets, out);
  decoder.finish(out);
  return out;
}

void Base64Encoder::triple(const unsigned char* octets, std::string& to) {
  if (column_ == 76) {
    to += line_end_;
    column_ = 0;
  }
  const unsigned group = static_cast<unsigned>(octets[0]) << 16 | static_cast<unsigned>(octets[1]) << 8 | octets[2];
  const char four[4] = {kAlphabet[group >> 18], kAlphabet[group >> 12 & 63], kAlphabet[group >> 6 & 63],
                        kAlphabet[group & 63]};
  to.append(four, 4);
  column_ += 4;
}

void Base64Encoder::encode(std::string_view octets, std::string& to) {
  to.reserve(to.size() + octets.size() / 3 * 4 + octets.size() / 57 * line_end_.size() + 8);
  for (std::size_t i = 0; i < octets.size();) {
    if (count_ == 0 && i + 3 <= octets.size()) {
      triple(reinterpret_cast<const unsigned char*>(octets.data()) + i, to);
      i += 3;
      continue;
    }
    held_[count_++] = static_cast<unsigned char>(octets[i++]);
    if (count_ == 3) triple(held_, to), count_ = 0;
  }
}

void Base64Encoder::finish(std::string& to) {
  if (count_ > 0) {
    for (unsigned i = count_; i < 3; ++i) held_[i] = 0;
    triple(held_, to);
    to.replace(to.size() - (3 - count_), 3 - count_, 3 - count_, '=');
    count_ = 0;
  }
  if (column_ > 0) to += line_end_;
  column_ = 0;
}

std::string encode_base64(std::string_view octets, std::string_view line_end) {
  std::string out;
  Base64Encoder encoder(line_end);
  encoder.encode(octets, out);
  encoder.finish(out);
  return out;
}

namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::size_t kLine = 76;

/// Writes one line's worth of octets, breaking softly.
class QuotedPrintableLine {
 public:
  QuotedPrintableLine(std::string& to, std::string_view line_end) : to_(to), line_end_(line_end) {}
  void put(char c, bool encode, bool last_of_line) {
    const std::size_t width = encode ? 3 : 1;
    if (column_ + width > (last_of_line ? kLine : kLine - 1)) {
      to_ += '=';
      to_ += line_end_;
      column_ = 0;
    }
    if (encode) {
      to_ += '=', to_ += kHex[static_cast<unsigned char>(c) >> 4], to_ += kHex[static_cast<unsigned char>(c) & 15];
    } else {
      to_ += c;
    }
    column_ += width;
  }
  void end_line() {
    to_ += line_end_;
    column_ = 0;
  }
  std::size_t column() const { return column_; }

 private:
  std::string& to_;
  std::string_view line_end_;
  std::size_t column_ = 0;
};

bool is_plain(char c) { return (c > ' ' && c < 0x7F && c != '=') || c == ' ' || c == '\t'; }

}  // namespace

std::string encode_quoted_printable(std::string_view text, std::string_view line_end) {
  std::string out;
  QuotedPrintableLine writer(out, line_end);
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const bool ended = end != std::string_view::npos;
    if (ended && line.ends_with('\r')) line.remove_suffix(1);
    for (std::size_t i = 0; i < line.size(); ++i) {
      const bool last = i + 1 == line.size();
      const bool at_start = writer.column() == 0 || writer.column() + 1 >= kLine;
      const bool risky = at_start && ((line[i] == 'F' && line.substr(i).starts_with("From ")) || line[i] == '.');
      writer.put(line[i], !is_plain(line[i]) || risky || (last && is_space(static_cast<unsigned char>(line[i]))), last);
    }
    if (ended) writer.end_line();
  }
  return out;
}

std::string encode_quoted_printable_binary(std::string_view octets, std::string_view line_end) {
  std::string out;
  QuotedPrintableLine writer(out, line_end);
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const bool last = i + 1 == octets.size();
    const bool at_start = writer.column() == 0 || writer.column() + 1 >= kLine;
    writer.put(octets[i],
               !is_plain(octets[i]) || (last && is_space(static_cast<unsigned char>(octets[i]))) ||
                   (at_start && (octets[i] == 'F' || octets[i] == '.')),
               last);
  }
  return out;
}

TransferEncoding choose_encoding(std::string_view octets, bool text, bool eight_bit_allowed) {
  std::size_t eight_bit = 0, escapes = 0, longest = 0, line = 0, line_breaks = 0;
  bool odd = false;  // NUL, or line ends that would not survive
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const char c = octets[i];
    if (c == '\n') {
      longest = std::max(longest, line), line = 0, ++line_breaks;
      odd = odd || (!text && (i == 0 || octets[i - 1] != '\r'));
      continue;
    }
    ++line;
    if (static_cast<unsigned char>(c) >= 0x80) {
      ++eight_bit;
    } else if (c == '\0' || (c == '\r' && (i + 1 == octets.size() || octets[i + 1] != '\n'))) {
      odd = true, ++escapes;
    } else if (!is_plain(c) && c != '\r') {
      ++escapes;
    }
  }
  longest = std::max(longest, line);
  if (!odd && longest <= 998 && eight_bit == 0) return TransferEncoding::seven_bit;
  if (!odd && longest <= 998 && eight_bit_allowed) return TransferEncoding::eight_bit;
  const std::size_t encoded = eight_bit + escapes + (text ? 0 : 2 * line_breaks);
  return octets.size() + 2 * encoded < octets.size() * 4 / 3 + 4 ? TransferEncoding::quoted_printable
                                                                 : TransferEncoding::base64;
}

}  // namespace mail::message
