// The parameters of MAIL and RCPT (RFC 5321 section 4.1.2 and the extensions named at each). The spool keeps them in
// the same form as the wire.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mail::smtp {

enum class Body { seven_bit, eight_bit_mime, binary_mime };  // RFC 6152, RFC 3030
enum class Ret { full, headers };                            // RFC 3461 section 4.3

/// RFC 2852: BY=seconds;mode[T].
struct DeliverBy {
  std::int64_t seconds = 0;       ///< May be negative when relayed late.
  bool return_when_late = false;  ///< Mode R; else N: notify and go on.
  bool trace = false;
  bool operator==(const DeliverBy&) const = default;
};

struct MailParameters {
  std::optional<std::uint64_t> size;  ///< Declared octets of the message (RFC 1870).
  std::optional<Body> body;
  bool smtputf8 = false;                          ///< RFC 6531
  std::optional<Ret> ret;                         ///< RFC 3461
  std::optional<std::string> envid;               ///< RFC 3461, decoded from xtext.
  std::optional<std::string> auth;                ///< RFC 4954 section 5, decoded; "<>" where unknown.
  std::optional<std::uint64_t> hold_for_seconds;  ///< RFC 4865
  std::optional<std::string>
      hold_until;                       ///< RFC 4865, RFC 3339 date and time as written (UTC, "2026-11-22T03:04:05Z").
  std::optional<DeliverBy> deliver_by;  ///< RFC 2852
  std::optional<int> mt_priority;       ///< RFC 6710, -9..9
  bool require_tls = false;             ///< RFC 8689
  bool operator==(const MailParameters&) const = default;
};

/// NOTIFY of RFC 3461 section 4.1; NEVER is all of them false.
struct Notify {
  bool success = false;
  bool failure = false;
  bool delay = false;
  bool never() const { return !success && !failure && !delay; }
  bool operator==(const Notify&) const = default;
};

struct OriginalRecipient {
  std::string address_type;  ///< "rfc822", "utf-8"
  std::string address;       ///< Decoded from xtext.
  bool operator==(const OriginalRecipient&) const = default;
};

struct RcptParameters {
  std::optional<Notify> notify;
  std::optional<OriginalRecipient> orcpt;
  bool operator==(const RcptParameters&) const = default;
};

/// "SIZE=12 BODY=8BITMIME …" in a fixed order, empty when nothing is set. parse_… undoes it.
std::string to_string(const MailParameters& parameters);
std::string to_string(const RcptParameters& parameters);
/// Each known keyword once, any case; an unknown one, a repeated one or a bad value is `syntax`.
Result<MailParameters> parse_mail_parameters(std::string_view text);
Result<RcptParameters> parse_rcpt_parameters(std::string_view text);

/// One value into its field: what the extension table and the parsers above share. `syntax` says what the keyword
/// needs.
Status set_size(MailParameters& parameters, std::string_view value);
Status set_body(MailParameters& parameters, std::string_view value);
Status set_smtputf8(MailParameters& parameters, std::string_view value);
Status set_ret(MailParameters& parameters, std::string_view value);
Status set_envid(MailParameters& parameters, std::string_view value);
Status set_auth(MailParameters& parameters, std::string_view value);
Status set_hold_for(MailParameters& parameters, std::string_view value);
Status set_hold_until(MailParameters& parameters, std::string_view value);
Status set_by(MailParameters& parameters, std::string_view value);
Status set_mt_priority(MailParameters& parameters, std::string_view value);
Status set_require_tls(MailParameters& parameters, std::string_view value);
Status set_notify(RcptParameters& parameters, std::string_view value);
Status set_orcpt(RcptParameters& parameters, std::string_view value);

/// RFC 3461 section 4: octets outside 33..126, `+` and `=` as +XX.
std::string to_xtext(std::string_view octets);
std::optional<std::string> from_xtext(std::string_view text);

}  // namespace mail::smtp
