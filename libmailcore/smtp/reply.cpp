#include "smtp/reply.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"

namespace mail::smtp {
namespace {

// Length of "d.ddd.ddd" at the start of a line, where its class is `first` and a blank or the end follows; else 0 (RFC
// 3463 section 2).
std::size_t enhanced_length(std::string_view line, char first) {
  if (line.size() < 5 || line[0] != first || line[1] != '.') return 0;
  std::size_t at = 2;
  for (int part = 0; part < 2; ++part) {
    std::size_t digits = 0;
    while (at < line.size() && is_digit(static_cast<unsigned char>(line[at])) && digits < 3) ++at, ++digits;
    if (digits == 0) return 0;
    if (part == 0 && (at >= line.size() || line[at++] != '.')) return 0;
  }
  return at == line.size() || line[at] == ' ' ? at : 0;
}

char class_of(const Reply& reply) { return static_cast<char>('0' + reply.code / 100); }

void append_code(std::string& to, int code) {
  to += static_cast<char>('0' + code / 100 % 10);
  to += static_cast<char>('0' + code / 10 % 10);
  to += static_cast<char>('0' + code % 10);
}

// Nothing in a text may end the line or be taken for more than text.
void append_text(std::string& to, std::string_view text) {
  for (const char c : text) to += static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
}

}  // namespace

std::optional<std::string_view> Reply::enhanced() const {
  const auto length = enhanced_length(text, class_of(*this));
  if (length == 0) return std::nullopt;
  return std::string_view(text).substr(0, length);
}

std::string Reply::status() const {
  if (const auto given = enhanced()) return std::string(*given);
  const char first = class_of(*this);
  return std::string(1, first == '2' || first == '5' ? first : '4') + ".0.0";
}

std::string Reply::plain_text() const {
  std::string plain;
  for (auto line : split(text, '\n')) {
    line = trim(line.substr(enhanced_length(line, class_of(*this))));
    if (line.empty()) continue;
    if (!plain.empty()) plain += ' ';
    plain += line;
  }
  return plain;
}

std::string Reply::line() const {
  std::string all;
  append_code(all, code);
  if (const auto given = enhanced()) all.append(" ").append(*given);
  if (const auto plain = plain_text(); !plain.empty()) all.append(" ").append(plain);
  return printable(all);
}

void append_wire(std::string& to, const Reply& reply) {
  std::string_view rest = reply.text;
  std::string_view code = rest.substr(0, enhanced_length(rest, class_of(reply)));
  rest.remove_prefix(code.size());
  if (rest.starts_with(' ')) rest.remove_prefix(1);
  for (bool last = false; !last;) {
    const auto end = rest.find('\n');
    last = end == std::string_view::npos;
    append_code(to, reply.code);
    to += last ? ' ' : '-';
    if (!code.empty()) to.append(code).append(" ");
    append_text(to, rest.substr(0, end));
    to += "\r\n";
    if (!last) rest.remove_prefix(end + 1);
  }
}

std::string to_wire(const Reply& reply) {
  std::string wire;
  append_wire(wire, reply);
  return wire;
}

Reply reply_for(const Error& error, std::string_view public_text) {
  switch (error.kind) {
    case Error::Kind::temporary:
      return {451, concat({"4.3.0 ", public_text})};
    case Error::Kind::refused:
      return {550, concat({"5.7.1 ", public_text})};
    case Error::Kind::syntax:
      return {501, concat({"5.5.4 ", public_text})};
    case Error::Kind::not_found:
    case Error::Kind::permanent:
      break;
  }
  return {554, concat({"5.3.0 ", public_text})};
}

void ReplyReader::reset() { *this = {}; }

Result<std::optional<Reply>> ReplyReader::take(std::string_view& input) {
  while (!input.empty()) {
    const auto end = input.find('\n');
    const auto piece = input.substr(0, end);
    const auto room = kMostLineOctets - line_.size();
    line_.append(piece.substr(0, room));
    if (end == std::string_view::npos) {
      // Cut, but not endless: a line without an end is an attack, not a reply.
      dropped_ += piece.size() - std::min(piece.size(), room);
      input = {};
      if (dropped_ > 16 * kMostLineOctets) return fail(Error::Kind::syntax, "the peer sends a line without end");
      break;
    }
    input.remove_prefix(end + 1);
    dropped_ = 0;
    MAIL_TRY(last, take_line());
    line_.clear();
    if (!last) continue;
    auto reply = std::move(reply_);
    reset();
    return reply;
  }
  return std::optional<Reply>{};
}

Result<bool> ReplyReader::take_line() {
  std::string_view line = line_;
  if (line.ends_with('\r')) line.remove_suffix(1);
  Cursor cursor(line);
  const auto code = cursor.take_while(is_digit);
  const int after = cursor.peek();
  if (code.size() != 3 || code[0] < '2' || code[0] > '5' || (after != '-' && after != ' ' && after != -1))
    return fail(Error::Kind::syntax, concat({"the peer's reply is no SMTP: ", printable(line.substr(0, 100))}));
  const int number = parse_decimal<int>(code).value_or(0);
  if (lines_ > 0 && number != reply_.code)
    return fail(Error::Kind::syntax, "the lines of the peer's reply have different codes");
  if (++lines_ > kMostLines) return fail(Error::Kind::syntax, "the peer's reply has too many lines");
  reply_.code = number;
  if (lines_ > 1) reply_.text += '\n';
  cursor.skip(1);
  std::string_view text = cursor.rest();
  // The enhanced code is repeated on each line (RFC 2034 section 4); once is enough here.
  if (lines_ > 1) {
    if (const auto length = enhanced_length(text, static_cast<char>('0' + number / 100)); length != 0)
      text = text.substr(std::min(text.size(), length + 1));
  }
  reply_.text += text;
  return after != '-';
}

}  // namespace mail::smtp
