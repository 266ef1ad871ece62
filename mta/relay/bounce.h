// Delivery status notifications: what a sender is told of recipients that failed, wait, or were reached (RFC 3461,
// 3464, 6533).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "spool/envelope.h"

namespace mail::relay {

enum class ReportAction {
  failed,     ///< Given up.
  delayed,    ///< Still trying.
  delivered,  ///< In the mailbox.
  relayed,    ///< Handed on to a host that sends no reports.
  expanded,   ///< Handed to the members of an alias.
};
std::string_view to_string(ReportAction action);

struct RecipientReport {
  spool::Recipient recipient;
  ReportAction action = ReportAction::failed;
  std::string status;  ///< "5.1.1"
  std::string
      diagnostic;      ///< The other host's reply, "550 5.1.1 No such user"; or our own words where `remote` is empty.
  std::string remote;  ///< Host that said so; empty: we did.
  std::optional<WallTime> last_attempt;
  std::optional<WallTime> retry_until;  ///< For delayed.
};

struct ReportSettings {
  std::string host_name;
  std::string postmaster;                   ///< Address for people to turn to.
  std::uint64_t returned_octets = 1 << 16;  ///< A larger original comes back as its header only, whatever RET says.
};

/// One message that reports on all of `reports`, ready for the spool (CRLF line ends). `content` is the original.
/// The human part says cause, remedy and who must act; the machine part is message/delivery-status, or
/// message/global-delivery-status where an address needs UTF-8.
std::string delivery_report(const spool::Envelope& envelope, std::string_view content,
                            const std::vector<RecipientReport>& reports, const ReportSettings& settings,
                            const MessageId& id, WallTime now);

/// The report's envelope: null reverse-path, to the reverse-path of `original` (which is not null: nothing answers a
/// report).
spool::Envelope report_envelope(const spool::Envelope& original, const MessageId& id, WallTime now);

/// Whether the sender asked to hear of this (RFC 3461 section 4.1; without NOTIFY: failures and delays).
bool wants_report(const spool::Envelope& envelope, const spool::Recipient& recipient, ReportAction action);

/// Cause and remedy in plain words for an enhanced status code, for the person who reads the bounce.
struct Explanation {
  std::string_view cause;
  std::string_view remedy;
};
Explanation explain_status(std::string_view status);

}  // namespace mail::relay
