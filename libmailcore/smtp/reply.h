// An SMTP reply: code, enhanced status code and text (RFC 5321 section 4.2, RFC 2034).
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mail::smtp {

struct Reply {
  int code = 0;      ///< 200..599; 0 where no reply came.
  std::string text;  ///< Lines separated by LF, without codes of three digits; the first may begin with the enhanced
                     ///< code ("5.1.1 No such user").

  bool positive() const { return code >= 200 && code < 300; }
  bool intermediate() const { return code >= 300 && code < 400; }
  bool temporary() const { return code >= 400 && code < 500; }
  bool permanent() const { return code >= 500 && code < 600; }
  /// "5.1.1", or nothing where the text does not begin with an enhanced code of the reply's class.
  std::optional<std::string_view> enhanced() const;
  /// The enhanced code, or the general one of the class ("5.0.0").
  std::string status() const;
  /// The text without the enhanced code in any line; lines joined by a blank.
  std::string plain_text() const;
  /// "550 5.1.1 No such user" on one line, for logs and bounces; control characters are made printable.
  std::string line() const;
  bool operator==(const Reply&) const = default;
};

/// As octets on the wire: each line with code, the enhanced code repeated on each line, CRLF. Octets that would break
/// the framing become blanks.
std::string to_wire(const Reply& reply);
void append_wire(std::string& to, const Reply& reply);

/// Maps an Error outwards, once for all programs: temporary → 451 4.3.0, refused → 550 5.7.1, syntax → 501 5.5.4,
/// others 554 5.3.0. The error's own text is for the log; `public_text` is what the peer reads.
Reply reply_for(const Error& error, std::string_view public_text);

/// Frames replies out of a stream, however it is split. What a hostile server can make it hold is bounded.
class ReplyReader {
 public:
  static constexpr std::size_t kMostLineOctets = 4096;  // RFC 5321: 512; some banners are longer
  static constexpr std::size_t kMostLines = 512;        // EHLO of the richest server has about 30
  /// Takes octets from `input` up to the end of one reply and drops them there. Nothing while the reply is not whole.
  /// Lines are cut at kMostLineOctets and more than kMostLines are an error: `syntax`, as is what is no reply at all.
  Result<std::optional<Reply>> take(std::string_view& input);
  void reset();
  bool empty() const { return line_.empty() && lines_ == 0; }

 private:
  Result<bool> take_line();  // true: last line of the reply

  std::string line_;
  Reply reply_;
  std::size_t lines_ = 0;
  std::size_t dropped_ = 0;
};

}  // namespace mail::smtp
