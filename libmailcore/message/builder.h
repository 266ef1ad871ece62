// Writes messages: what is built is correct MIME, whatever text goes in.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "message/address.h"
#include "message/date.h"
#include "message/parameters.h"

namespace mail::message {

/// A body part that is ready to be written: its own header fields and encoded content.
class BodyPart {
 public:
  /// text/SUBTYPE; charset=utf-8 (us-ascii where it is that). Line ends may be LF or CRLF.
  static BodyPart text(std::string_view utf8, std::string_view subtype = "plain");
  /// Any content with its own type ("image/png"), octet by octet; text that needs no encoding stays readable, its LF
  /// become line ends.
  static BodyPart content(std::string_view type, std::string_view octets);
  /// A file, as base64, so that it arrives octet by octet; with Content-Disposition: attachment and a file name (UTF-8;
  /// only the last path component is used).
  static BodyPart attachment(std::string_view type, std::string_view octets, std::string_view file_name);
  /// message/rfc822 with `message` as it is (line ends become CRLF); 8-bit content is declared, not re-encoded.
  static BodyPart message(std::string_view message);
  /// multipart/SUBTYPE; the boundary is chosen so that it occurs in no part.
  static BodyPart multipart(std::string_view subtype, std::vector<BodyPart> parts,
                            std::vector<Parameter> parameters = {});
  /// `raw` is a complete part already: header, empty line, body.
  static BodyPart raw(std::string_view raw);

  /// Sets or replaces one of the part's own fields; `value` is printable ASCII, folded already.
  BodyPart& field(std::string_view name, std::string_view value);
  const std::string& body() const { return body_; }
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }
  bool eight_bit() const { return eight_bit_; }
  void append_to(std::string& to) const;

 private:
  bool ends_in_filling() const;

  std::vector<std::pair<std::string, std::string>> fields_;
  std::string body_;  // CRLF line ends
  bool eight_bit_ = false;
};

/// One message. Fields come out in the order of the calls; CR, LF and NUL can never get into a header.
class Builder {
 public:
  Builder& date(const DateTime& date);
  Builder& from(const std::vector<Address>& addresses) { return addresses_field("From", addresses); }
  Builder& to(const std::vector<Address>& addresses) { return addresses_field("To", addresses); }
  Builder& cc(const std::vector<Address>& addresses) { return addresses_field("Cc", addresses); }
  Builder& reply_to(const std::vector<Address>& addresses) { return addresses_field("Reply-To", addresses); }
  Builder& addresses_field(std::string_view name, const std::vector<Address>& addresses);
  Builder& subject(std::string_view utf8) { return text_field("Subject", utf8); }
  /// An unstructured field of UTF-8 text.
  Builder& text_field(std::string_view name, std::string_view utf8);
  /// A field whose value is structured ASCII already ("<id@host>"), folded at white space where it is long; refused
  /// (ignored) where it holds CR, LF or NUL outside of folding.
  Builder& raw_field(std::string_view name, std::string_view value);
  /// "Message-ID: <token@domain>" of a random token.
  Builder& message_id(std::string_view domain);
  Builder& message_ids_field(std::string_view name, const std::vector<std::string>& ids);
  bool has(std::string_view name) const;

  Builder& body(BodyPart part);
  /// The message with CRLF line ends. MIME-Version is added; Date and Message-ID are the caller's.
  std::string build() const;

 private:
  std::string header_;
  BodyPart body_;
};

/// multipart/report (RFC 6522): human text, machine-readable part of `report_type` ("delivery-status") and what of the
/// original goes back.
/// @param returned          the original message or its header
/// @param only_header       `returned` is sent as text/rfc822-headers
BodyPart report(std::string_view report_type, std::string_view human_text, std::string_view machine_text,
                std::string_view returned, bool only_header);

/// The media type for a file's name and first octets: by its extension, else text/plain where it is UTF-8 text, else
/// application/octet-stream.
std::string guess_type(std::string_view file_name, std::string_view octets);

}  // namespace mail::message
