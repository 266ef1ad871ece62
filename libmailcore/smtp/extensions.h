// The service extensions of the server: one row each (RFC 5321 section 2.2), from which EHLO's text and the MAIL and
// RCPT parameters come; and what a client read in the EHLO reply of its peer.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/parameters.h"
#include "smtp/path.h"
#include "smtp/reply.h"

namespace mail::smtp {

enum class Mode {
  relay,       ///< Port 25.
  submission,  ///< Ports 587 and 465 (RFC 6409): AUTH before MAIL.
  lmtp,        ///< RFC 2033: LHLO, one reply per recipient after the data.
};

enum class BareNewlines {
  refuse,     ///< 550 5.6.11
  normalise,  ///< A bare LF or CR becomes CRLF, NUL is dropped; never an end of data.
};

/// What a server session is allowed and announces. One object is shared by all sessions of a listener and outlives
/// them.
struct ServerSettings {
  std::string host_name = "localhost";
  std::string banner = "ESMTP";  ///< Behind the host name in the greeting.
  Mode mode = Mode::relay;

  std::uint64_t message_octets = 50u << 20;  ///< Largest message (SIZE); 0 = no limit.
  std::uint32_t recipients = 1000;  ///< In one transaction (RCPTMAX); RFC 5321 section 4.5.3.1.8 asks for at least 100.
  std::uint32_t transactions = 0;   ///< In one session (MAILMAX); 0 = no limit.
  std::uint32_t command_octets = 2048;     ///< One command line with CRLF; RFC 5321: 512, extensions add to it.
  std::uint32_t auth_octets = 16384;       ///< One line of an AUTH exchange (RFC 4954 section 4: 12288).
  std::uint32_t text_line_octets = 65536;  ///< One line of the message; 0 = no limit. RFC 5321 promises only 1000.
  std::uint32_t mistakes = 20;             ///< Refused or unknown commands before 421.
  BareNewlines bare_newlines = BareNewlines::refuse;
  bool lenient = true;  ///< Hand-typed forms: blanks after the colon, paths without brackets, any word behind HELO.
  bool hello_required = true;  ///< HELO or EHLO before MAIL.

  bool tls = false;                         ///< STARTTLS is announced in clear.
  bool tls_required = false;                ///< 530 5.7.0 to all but EHLO, NOOP, QUIT, STARTTLS in clear.
  std::vector<std::string> auth_in_clear;   ///< Mechanisms announced without TLS.
  std::vector<std::string> auth_under_tls;  ///< Mechanisms announced under TLS.
  bool auth_required = false;               ///< 530 5.7.0 to MAIL before AUTH.

  bool pipelining = true;
  bool chunking = true;
  bool binarymime = false;
  bool smtputf8 = true;
  bool dsn = true;
  bool verify = false;  ///< VRFY asks the caller; else 252.
  bool expand = false;  ///< EXPN asks the caller; else 502.
  bool etrn = false;
  std::uint64_t hold_seconds = 0;                  ///< FUTURERELEASE up to this many seconds ahead; 0 = off.
  std::function<std::string()> hold_until_latest;  ///< Announced; the caller has the clock. Empty: any date.
  std::optional<std::uint64_t> by_min;  ///< DELIVERBY with this least time (0 = none announced); nothing = off.
  bool mt_priority = false;
  bool requiretls = false;
};

/// What the rows look at besides the settings.
struct SessionFacts {
  bool tls = false;
  bool authenticated = false;
  bool esmtp = false;
};

struct MailArguments {
  Mailbox reverse_path;
  MailParameters parameters;
};
struct RcptArguments {
  Mailbox forward_path;
  RcptParameters parameters;
};

using MaybeReply = std::optional<Reply>;  ///< Without a value: go on.

/// One row of the table. A parameter whose row is not announced is unknown: 555 (RFC 5321 section 4.1.1.11).
struct Extension {
  std::string_view keyword;                                                 ///< The EHLO keyword.
  bool (*announced)(const ServerSettings&, const SessionFacts&) = nullptr;  ///< nullptr: always.
  std::string (*arguments)(const ServerSettings&,
                           const SessionFacts&) = nullptr;  ///< Behind the keyword in EHLO; nullptr: none.
  std::string_view mail_parameter{};
  MaybeReply (*on_mail)(std::string_view value, const ServerSettings&, const SessionFacts&, MailArguments&) = nullptr;
  std::string_view rcpt_parameter{};
  MaybeReply (*on_rcpt)(std::string_view value, const ServerSettings&, const SessionFacts&, RcptArguments&) = nullptr;
};

/// Sorted by keyword; a keyword with several parameters has several rows, of which the first is announced.
std::span<const Extension> extensions();
/// The lines of an EHLO or LHLO reply, LF between them: greeting line first.
std::string ehlo_text(const ServerSettings& settings, const SessionFacts& facts, std::string_view greeting);
/// `parameters` is what stands behind the path. Nothing when all are well.
MaybeReply read_mail_parameters(std::string_view parameters, const ServerSettings& settings, const SessionFacts& facts,
                                MailArguments& to);
MaybeReply read_rcpt_parameters(std::string_view parameters, const ServerSettings& settings, const SessionFacts& facts,
                                RcptArguments& to);

/// What the peer of a client announced.
struct Offered {
  bool esmtp = false;  ///< EHLO or LHLO was understood.
  bool pipelining = false;
  bool eight_bit_mime = false;
  bool smtputf8 = false;
  bool chunking = false;
  bool binarymime = false;
  bool dsn = false;
  bool starttls = false;
  bool enhanced_status_codes = false;
  bool requiretls = false;
  bool mt_priority = false;
  bool etrn = false;
  bool size = false;
  std::uint64_t size_octets = 0;  ///< 0 = none named.
  bool deliver_by = false;
  std::uint64_t by_min = 0;
  std::uint64_t hold_seconds = 0;                  ///< FUTURERELEASE: 0 = not offered.
  std::vector<std::string> auth;                   ///< Mechanism names in upper case; `AUTH=LOGIN` of old servers too.
  std::optional<std::uint64_t> recipients;         ///< LIMITS RCPTMAX (RFC 9422)
  std::optional<std::uint64_t> transactions;       ///< LIMITS MAILMAX
  std::optional<std::uint64_t> recipient_domains;  ///< LIMITS RCPTDOMAINMAX
};
/// Reads the reply to EHLO or LHLO; what cannot be read is as if not offered.
Offered parse_ehlo(const Reply& reply);

}  // namespace mail::smtp
