// Content transfer encodings (RFC 2045 section 6), in pieces of any size. Decoding never fails: what is not of the
// encoding is passed over.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mail::message {

enum class TransferEncoding : std::uint8_t {
  seven_bit,
  eight_bit,
  binary,
  quoted_printable,
  base64,
  uuencode,
  unknown
};

/// From a Content-Transfer-Encoding value as found (comments and case do not matter); an absent or empty one is
/// seven_bit.
TransferEncoding parse_transfer_encoding(std::string_view value);
std::string_view name(TransferEncoding encoding);  ///< "7bit", "base64", …
constexpr bool is_identity(TransferEncoding e) {
  return e != TransferEncoding::quoted_printable && e != TransferEncoding::base64 && e != TransferEncoding::uuencode;
}

/// Decodes one body in slices; how it is split never changes the result.
class Decoder {
 public:
  explicit Decoder(TransferEncoding encoding) : encoding_(encoding) {}
  void decode(std::string_view octets, std::string& to);
  void finish(std::string& to);
  /// True where something was not of the encoding.
  bool damaged() const { return damaged_; }

 private:
  void base64(std::string_view octets, std::string& to);
  void quoted_printable(std::string_view octets, std::string& to);
  void uuencode_line(std::string_view line, std::string& to);
  TransferEncoding encoding_;
  std::uint32_t bits_ = 0;
  unsigned count_ = 0;
  bool ended_ = false;
  bool started_ = false;
  bool damaged_ = false;
  std::string pending_;
};
std::string decode(TransferEncoding encoding, std::string_view octets);

/// base64 in lines of 76 characters with `line_end` after each (RFC 2045 section 6.8).
class Base64Encoder {
 public:
  explicit Base64Encoder(std::string_view line_end = "\r\n") : line_end_(line_end) {}
  void encode(std::string_view octets, std::string& to);
  void finish(std::string& to);

 private:
  void triple(const unsigned char* octets, std::string& to);
  std::string line_end_;
  unsigned char held_[3] = {};
  unsigned count_ = 0;
  unsigned column_ = 0;
};
std::string encode_base64(std::string_view octets, std::string_view line_end = "\r\n");

/// Quoted-printable of text whose line ends are LF or CRLF (RFC 2045 section 6.7); lines stay within 76 characters.
/// "From " and a lone "." at a line's start are encoded too, so that nothing on the way alters them.
std::string encode_quoted_printable(std::string_view text, std::string_view line_end = "\r\n");
/// Quoted-printable of octets that are not text: CR and LF are encoded too.
std::string encode_quoted_printable_binary(std::string_view octets, std::string_view line_end = "\r\n");

/// The cheapest encoding in which `octets` pass through any SMTP server: 7bit where they do as they are (lines up to
/// 998, no NUL, no lone CR or LF oddities), else quoted-printable or base64, whichever is shorter. `text`: line ends
/// are LF or CRLF and may be canonicalised.
TransferEncoding choose_encoding(std::string_view octets, bool text, bool eight_bit_allowed = false);

}  // namespace mail::message
