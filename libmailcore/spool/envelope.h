// The envelope of a message in the spool: what MAIL and RCPT carried, who brought it, and how far each recipient is.
// Text form: spool(5).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"
#include "base/result.h"

namespace mail::spool {

/// A recipient's state: one octet in the file, overwritten in place.
enum class RecipientState : char {
  waiting = 'w',         ///< Not done yet.
  warned = 'y',          ///< As waiting; the delay has been reported to the reverse-path.
  delivered = 'd',       ///< Done (delivered, relayed or expanded), nothing left to report.
  report_success = 's',  ///< Done, and the success report that was asked for is not in the spool yet.
  failed = 'f',          ///< Given up, and the bounce is not in the spool yet.
  bounced = 'b',         ///< Given up and reported (or not to be reported).
};
constexpr bool is_open(RecipientState s) { return s == RecipientState::waiting || s == RecipientState::warned; }
/// Nothing at all is left to be done.
constexpr bool is_finished(RecipientState s) { return s == RecipientState::delivered || s == RecipientState::bounced; }

/// The NOTIFY parameter, RFC 3461 section 4.1. None set: the parameter was not given.
struct Notify {
  bool never = false, success = false, failure = false, delay = false;
  bool given() const { return never || success || failure || delay; }
  bool operator==(const Notify&) const = default;
};

struct Recipient {
  std::string forward_path;        ///< local-part@domain as in RCPT, without brackets; may hold UTF-8.
  std::string original_recipient;  ///< ORCPT: `rfc822;addr`, decoded; empty where not given (RFC 3461 section 4.2).
  Notify notify;
  RecipientState state = RecipientState::waiting;
  std::string user;    ///< In local: the router's answer, so that mda need not ask again; may be empty.
  std::string detail;  ///< In local: the part behind the recipient delimiter.
  bool operator==(const Recipient&) const = default;
};

enum class BodyType : unsigned char { seven_bit, eight_bit_mime, binary_mime };  // BODY, RFC 6152, RFC 3030
enum class ReturnContent : unsigned char { unspecified, full, header_fields };   // RET, RFC 3461 section 4.3

struct Envelope {
  MessageId id;
  WallTime arrival{};
  std::string client_name;         ///< Reverse DNS name of the client, or empty.
  std::string client_address;      ///< IP address, or `uid:1000` for what came by the drop.
  std::string helo;                ///< As the client said it.
  std::string authenticated_user;  ///< Empty where it did not log in.
  std::string protocol;            ///< The `with` word of Received: SMTP, ESMTPSA, LMTP, local …
  std::string reverse_path;        ///< Without brackets; empty is the null reverse-path.
  BodyType body = BodyType::seven_bit;
  ReturnContent return_content = ReturnContent::unspecified;
  std::string envelope_id;  ///< ENVID, decoded.
  bool smtputf8 = false;
  bool require_tls = false;            ///< REQUIRETLS, RFC 8689.
  bool tls_optional = false;           ///< The header says TLS-Required: No (RFC 8689 section 4.2.2).
  int priority = 0;                    ///< MT-PRIORITY, RFC 6710: -9 … 9.
  std::optional<WallTime> hold_until;  ///< FUTURERELEASE, RFC 4865.
  std::optional<WallTime> deliver_by;  ///< DELIVERBY, RFC 2852.
  bool deliver_by_return = false;      ///< By-mode R: give up at deliver_by; else only report.
  std::vector<Recipient> recipients;

  WallTime next_attempt{};     ///< Mutable in place; whole seconds.
  std::uint32_t attempts = 0;  ///< Mutable in place.

  bool operator==(const Envelope&) const = default;
  bool any_open() const;
};

/// The envelope part of a spool file: from the `retry` line to the empty line, both included.
std::string print(const Envelope& envelope);
/// Parses what print() wrote. Unknown keys are `syntax`: a newer version has another first line.
Result<Envelope> parse_envelope(std::string_view text);
/// Offsets, relative to the start of the envelope text, of each recipient's state octet.
std::vector<std::uint32_t> state_offsets(std::string_view text);

/// The `retry` line, of fixed width.
std::string retry_line(WallTime next_attempt, std::uint32_t attempts);

/// A value for one word of the envelope: blanks, controls, '%' and DEL as %XX, UTF-8 as it is, empty as "-" (and "-" as
/// %2D).
std::string quote_word(std::string_view value);
std::optional<std::string> unquote_word(std::string_view word);

}  // namespace mail::spool
