#include "mta/relay/bounce.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "message/builder.h"
#include "message/header.h"
#include "smtp/parameters.h"

namespace mail::relay {

std::string_view to_string(ReportAction action) {
  switch (action) {
    case ReportAction::failed:
      return "failed";
    case ReportAction::delayed:
      return "delayed";
    case ReportAction::delivered:
      return "delivered";
    case ReportAction::relayed:
      return "relayed";
    case ReportAction::expanded:
      return "expanded";
  }
  return "failed";
}

namespace {

struct StatusRow {
  std::string_view status;  ///< "*" first: any class. A row of two numbers ("1") serves all of its subject.
  Explanation words;
};
/// RFC 3463 and its registry (RFC 5248), in the words of somebody who wants to know what to do. The first row that fits
/// counts.
constexpr std::array kStatusRows{
    StatusRow{"1.1", {"there is no such user at that domain", "check the spelling of the part before the @"}},
    StatusRow{"1.2", {"the domain does not exist or takes no mail", "check the spelling of the part behind the @"}},
    StatusRow{"1.3", {"the address is not written correctly", "check the address"}},
    StatusRow{"1.6", {"the recipient has moved", "ask the recipient for the new address"}},
    StatusRow{"1.10", {"the domain declares that it takes no mail at all", "find another way to reach the recipient"}},
    StatusRow{"1", {"the address was not accepted", "check the address"}},
    StatusRow{"2.1", {"the mailbox is switched off", "reach the recipient in another way"}},
    StatusRow{"2.2", {"the recipient's mailbox is full", "try again when the recipient has made room"}},
    StatusRow{"2.3", {"the message is larger than this recipient takes", "send it smaller, or in parts"}},
    StatusRow{"2", {"the recipient's mailbox did not take the message", "try again later, or tell the recipient"}},
    StatusRow{"3.4", {"the message is larger than the other system takes", "send it smaller, or in parts"}},
    StatusRow{"3", {"the other mail system could not take the message", "try again later"}},
    StatusRow{"4.1",
              {"the recipient's mail server did not answer",
               "nothing: it is that server's operators who must act; send again later"}},
    StatusRow{"4.4",
              {"there is no way to the recipient's domain: its mail servers have no address",
               "check the domain; else its operators must act"}},
    StatusRow{"4.6",
              {"the message went in a circle between mail servers",
               "tell your postmaster: the servers' configuration must be mended"}},
    StatusRow{"4.7", {"the time for trying ran out", "send again later, or reach the recipient in another way"}},
    StatusRow{"4", {"the network or a name server was in the way", "send again later"}},
    StatusRow{"6.7",
              {"the message has addresses or header fields in UTF-8, and the next server does not support that",
               "use ASCII addresses, or ask the recipient's provider for SMTPUTF8"}},
    StatusRow{"6", {"the other system does not take the message's form", "send it in a simpler form"}},
    StatusRow{"7.1",
              {"the other system does not allow this delivery", "tell the recipient, or the recipient's postmaster"}},
    StatusRow{
        "7.30",
        {"you asked for TLS all the way, and the next server cannot promise it", "send without that requirement"}},
    StatusRow{"7",
              {"the other system refused the message for its security or policy",
               "read its words below; its postmaster knows more"}},
    StatusRow{"", {"the other system did not take the message", "read its words below"}},
};

std::string date(WallTime time) {
  return message::format_date(message::local_time(std::chrono::floor<std::chrono::seconds>(time)));
}

/// Addresses that need UTF-8 make the report a global one (RFC 6533 section 3).
bool is_global(const spool::Envelope& envelope, const std::vector<RecipientReport>& reports) {
  return !is_ascii(envelope.reverse_path) || std::ranges::any_of(reports, [](const auto& r) {
    return !is_ascii(r.recipient.forward_path) || !is_ascii(r.recipient.original_recipient);
  });
}

/// One line of the machine part; what would break it is made printable.
std::string field(std::string_view name, std::string_view value) {
  return concat({name, ": ", printable(value), "\r\n"});
}

std::string typed_address(std::string_view address) {
  return concat({is_ascii(address) ? "rfc822; " : "utf-8; ", address});
}

/// "rfc822;addr" of the envelope as "rfc822; addr", xtext as RFC 3464 section 2.3.1 wants it.
std::string original_recipient(std::string_view stored) {
  const auto [type, address] = split_once(stored, ';');
  return concat({type, "; ", is_ascii(address) ? smtp::to_xtext(address) : std::string(address)});
}

std::string status_part(const spool::Envelope& envelope, const std::vector<RecipientReport>& reports,
                        const ReportSettings& settings) {
  std::string text;
  if (!envelope.envelope_id.empty()) text += field("Original-Envelope-Id", smtp::to_xtext(envelope.envelope_id));
  text += field("Reporting-MTA", concat({"dns; ", settings.host_name}));
  if (!envelope.helo.empty()) text += field("Received-From-MTA", concat({"dns; ", envelope.helo}));
  text += field("Arrival-Date", date(envelope.arrival));
  for (const auto& report : reports) {
    text += "\r\n";
    if (!report.recipient.original_recipient.empty())
      text += field("Original-Recipient", original_recipient(report.recipient.original_recipient));
    text += field("Final-Recipient", typed_address(report.recipient.forward_path));
    text += field("Action", to_string(report.action));
    text += field("Status", report.status);
    if (!report.remote.empty()) text += field("Remote-MTA", concat({"dns; ", report.remote}));
    if (!report.diagnostic.empty())
      text += field("Diagnostic-Code", concat({report.remote.empty() ? "x-relais; " : "smtp; ", report.diagnostic}));
    if (report.last_attempt) text += field("Last-Attempt-Date", date(*report.last_attempt));
    if (report.retry_until) text += field("Will-Retry-Until", date(*report.retry_until));
  }
  return text;
}

std::string_view subject_of(ReportAction action) {
  switch (action) {
    case ReportAction::failed:
      return "Undelivered mail: returned to sender";
    case ReportAction::delayed:
      return "Delayed mail: still being retried";
    case ReportAction::delivered:
      return "Delivered";
    case ReportAction::relayed:
      return "Relayed to a system that sends no reports";
    case ReportAction::expanded:
      return "Delivered to the members of a list";
  }
  return {};
}

std::string_view opening_of(ReportAction action) {
  switch (action) {
    case ReportAction::failed:
      return "your message could not be delivered to the recipients below. It will not be tried again.";
    case ReportAction::delayed:
      return "your message has not reached the recipients below yet. You need not send it again: it is still being "
             "tried.";
    case ReportAction::delivered:
      return "your message was delivered to the recipients below, as you asked to be told.";
    case ReportAction::relayed:
      return "your message was handed on for the recipients below. The next system does not send reports, so this is "
             "the last one.";
    case ReportAction::expanded:
      return "your message was handed to all members of the lists below.";
  }
  return {};
}

std::string human_part(const std::vector<RecipientReport>& reports, const ReportSettings& settings,
                       std::string_view subject) {
  const auto action = reports.front().action;
  std::string text = concat({"This is the mail system at ", settings.host_name, ":\r\n", opening_of(action), "\r\n"});
  if (!subject.empty()) text += concat({"\r\nYour message's subject: ", printable(subject), "\r\n"});
  for (const auto& report : reports) {
    text += concat({"\r\n  <", printable(report.recipient.forward_path), ">\r\n"});
    if (action == ReportAction::failed || action == ReportAction::delayed) {
      const auto words = explain_status(report.status);
      const bool tried_until_the_end = action == ReportAction::failed && report.status.starts_with('4');
      text += concat({"    What happened: ", words.cause,
                      tried_until_the_end ? ", until the time for trying ran out" : "", ".\r\n"});
      if (action == ReportAction::failed) text += concat({"    What helps: ", words.remedy, ".\r\n"});
      if (!report.diagnostic.empty())
        text += concat({"    ", report.remote.empty() ? "Details: " : concat({report.remote, " said: "}),
                        printable(report.diagnostic), "\r\n"});
    }
    if (report.retry_until) text += concat({"    It is tried until ", date(*report.retry_until), ".\r\n"});
  }
  text += concat({"\r\nFor help write to <", settings.postmaster, "> and include this message.\r\n"});
  return text;
}

/// The first field of that name, unfolded; empty where there is none.
std::string field_of(std::string_view content, std::string_view name) {
  const auto value = message::HeaderFields(content).find(name);
  return value ? message::unfold(*value) : std::string();
}

}  // namespace

Explanation explain_status(std::string_view status) {
  const auto detail = status.size() > 2 ? status.substr(2) : std::string_view();
  const auto subject = detail.substr(0, detail.find('.'));
  for (const auto& row : kStatusRows)
    if (row.status.empty() || row.status == detail ||
        (row.status.find('.') == std::string_view::npos && row.status == subject))
      return row.words;
  return kStatusRows.back().words;
}

bool wants_report(const spool::Envelope& envelope, const spool::Recipient& recipient, ReportAction action) {
  if (envelope.reverse_path.empty()) return false;  // RFC 5321 section 6.1: nothing answers a report
  const auto& notify = recipient.notify;
  if (notify.never) return false;
  switch (action) {
    case ReportAction::failed:
      return notify.failure || !notify.given();
    case ReportAction::delayed:
      return notify.delay || !notify.given();
    case ReportAction::delivered:
    case ReportAction::relayed:
    case ReportAction::expanded:
      return notify.success;
  }
  return false;
}

std::string delivery_report(const spool::Envelope& envelope, std::string_view content,
                            const std::vector<RecipientReport>& reports, const ReportSettings& settings,
                            const MessageId& id, WallTime now) {
  auto header = message::header_of(content);
  if (header.ends_with("\r\n\r\n")) header.remove_suffix(2);  // a part of its own has no empty line at its end
  // RFC 3461 section 4.3: RET speaks of failures only; everything else brings the header back.
  const bool full = reports.front().action == ReportAction::failed &&
                    envelope.return_content != spool::ReturnContent::header_fields && !envelope.require_tls &&
                    content.size() <= settings.returned_octets;
  const bool global = is_global(envelope, reports);
  const auto status = status_part(envelope, reports, settings);
  std::vector<message::BodyPart> parts;
  parts.push_back(message::BodyPart::text(human_part(reports, settings, field_of(header, "Subject"))));
  const auto raw = [](std::string_view type, std::string_view octets) {
    const auto encoding =
        is_ascii(octets) ? std::string_view() : std::string_view("Content-Transfer-Encoding: 8bit\r\n");
    return message::BodyPart::raw(concat({"Content-Type: ", type, "\r\n", encoding, "\r\n", octets}));
  };
  parts.push_back(raw(global ? "message/global-delivery-status" : "message/delivery-status", status));
  if (full) {
    parts.push_back(raw(global || envelope.smtputf8 ? "message/global" : "message/rfc822", content));
  } else {
    parts.push_back(raw(global || envelope.smtputf8 ? "message/global-headers" : "text/rfc822-headers", header));
  }
  message::Builder builder;
  builder.date(message::local_time(std::chrono::floor<std::chrono::seconds>(now)));
  message::Address mailer;
  mailer.display_name = "Mail Delivery System";
  mailer.local_part = "MAILER-DAEMON";
  mailer.domain = settings.host_name;
  builder.from({mailer});
  if (auto to = message::parse_mailbox(envelope.reverse_path)) builder.to({*std::move(to)});
  builder.subject(subject_of(reports.front().action));
  builder.raw_field("Message-ID", concat({"<", id.text(), "@", settings.host_name, ">"}));
  if (const auto original = field_of(header, "Message-ID"); !original.empty() && is_ascii(original)) {
    builder.raw_field("In-Reply-To", original);
    builder.raw_field("References", original);
  }
  // RFC 3834 section 3.1.7: other machines do not answer it.
  builder.raw_field("Auto-Submitted", "auto-replied");
  if (envelope.tls_optional) builder.raw_field("TLS-Required", "No");  // RFC 8689 section 6
  builder.body(message::BodyPart::multipart("report", std::move(parts),
                                            {{"report-type", global ? "global-delivery-status" : "delivery-status"}}));
  return builder.build();
}

spool::Envelope report_envelope(const spool::Envelope& original, const MessageId& id, WallTime now) {
  spool::Envelope envelope;
  envelope.id = id;
  envelope.arrival = now;
  envelope.protocol = "local";
  envelope.body = spool::BodyType::eight_bit_mime;
  envelope.smtputf8 = !is_ascii(original.reverse_path);
  envelope.require_tls = original.require_tls;    // RFC 8689 section 5
  envelope.tls_optional = original.tls_optional;  // and section 6
  spool::Recipient recipient;
  recipient.forward_path = original.reverse_path;
  recipient.notify.never = true;  // RFC 3461 section 6: a report asks for none
  envelope.recipients.push_back(std::move(recipient));
  return envelope;
}

}  // namespace mail::relay
