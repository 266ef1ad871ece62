#include "mta/relay/bounce.h"

#include <catch2/catch.hpp>

using namespace mail;
using namespace mail::relay;

namespace {

constexpr std::string_view kOriginal =
    "Message-ID: <1@example.net>\r\nSubject: Hello\r\nX-Trap: a\r\nFrom: ann@example.net\r\n\r\nbody text\r\n";

spool::Envelope envelope() {
  spool::Envelope e;
  e.id = *MessageId::parse("0123456789ABCDEF");
  e.arrival = WallTime(std::chrono::seconds(1800000000));
  e.reverse_path = "ann@example.net";
  e.helo = "client.example.net";
  e.envelope_id = "QQ+1";
  spool::Recipient r;
  r.forward_path = "bob@example.org";
  r.original_recipient = "rfc822;robert@example.org";
  e.recipients.push_back(r);
  return e;
}

std::string report(const spool::Envelope& e, ReportAction action, std::string_view content = kOriginal) {
  RecipientReport r;
  r.recipient = e.recipients.front();
  r.action = action;
  r.status = "5.1.1";
  r.diagnostic = "550 5.1.1 No such user\r\nInjected: yes";
  r.remote = "mx.example.org";
  return delivery_report(e, content, {r}, {.host_name = "mail.example.test", .postmaster = "postmaster@example.test"},
                         *MessageId::parse("FEDCBA9876543210"), WallTime(std::chrono::seconds(1800000100)));
}

bool has(const std::string& text, std::string_view needle) { return text.find(needle) != std::string::npos; }

}  // namespace

TEST_CASE("a bounce says cause, remedy and the other host's words, and carries RFC 3464 fields") {
  const auto text = report(envelope(), ReportAction::failed);
  for (const auto* expected :
       {"To: ann@example.net\r\n", "Auto-Submitted: auto-replied\r\n", "report-type=delivery-status",
        "there is no such user at that domain", "check the spelling", "mx.example.org said: 550 5.1.1 No such user",
        "Content-Type: message/delivery-status\r\n", "Original-Envelope-Id: QQ+2B1\r\n",
        "Reporting-MTA: dns; mail.example.test\r\n", "Received-From-MTA: dns; client.example.net\r\n",
        "Original-Recipient: rfc822; robert@example.org\r\n", "Final-Recipient: rfc822; bob@example.org\r\n",
        "Action: failed\r\n", "Status: 5.1.1\r\n", "Remote-MTA: dns; mx.example.org\r\n",
        "Content-Type: message/rfc822\r\n", "body text\r\n", "In-Reply-To: <1@example.net>"}) {
    INFO(expected << "\n" << text);
    CHECK(has(text, expected));
  }
  CHECK_FALSE(has(text, "\r\nInjected:"));
}

TEST_CASE("what comes back of the original follows RET, size and the kind of report") {
  auto e = envelope();
  CHECK(has(report(e, ReportAction::failed), "body text"));
  CHECK_FALSE(has(report(e, ReportAction::delayed), "body text"));
  e.return_content = spool::ReturnContent::header_fields;
  CHECK_FALSE(has(report(e, ReportAction::failed), "body text"));
  CHECK(has(report(e, ReportAction::failed), "Content-Type: text/rfc822-headers"));
  e.return_content = spool::ReturnContent::full;
  const auto large = std::string(kOriginal) + std::string(100000, 'x');
  CHECK_FALSE(has(report(e, ReportAction::failed, large), "body text"));
}

TEST_CASE("an address that needs UTF-8 makes a global report (RFC 6533)") {
  auto e = envelope();
  e.recipients.front().forward_path =
      "b\xC3\xB6"
      "b@example.org";
  const auto text = report(e, ReportAction::failed);
  CHECK(has(text, "report-type=global-delivery-status"));
  CHECK(has(text,
            "Final-Recipient: utf-8; b\xC3\xB6"
            "b@example.org\r\n"));
}

TEST_CASE("who wants to hear of what (RFC 3461 section 4.1)") {
  auto e = envelope();
  auto& r = e.recipients.front();
  CHECK(wants_report(e, r, ReportAction::failed));
  CHECK(wants_report(e, r, ReportAction::delayed));
  CHECK_FALSE(wants_report(e, r, ReportAction::delivered));
  r.notify.success = true;
  CHECK(wants_report(e, r, ReportAction::relayed));
  CHECK_FALSE(wants_report(e, r, ReportAction::failed));
  r.notify = {.never = true};
  CHECK_FALSE(wants_report(e, r, ReportAction::failed));
  r.notify = {};
  e.reverse_path.clear();
  CHECK_FALSE(wants_report(e, r, ReportAction::failed));
}

TEST_CASE("a report goes out with the null reverse-path and asks for none itself") {
  const auto e = report_envelope(envelope(), *MessageId::parse("FEDCBA9876543210"), WallTime(std::chrono::seconds(1)));
  CHECK(e.reverse_path.empty());
  REQUIRE(e.recipients.size() == 1);
  CHECK(e.recipients.front().forward_path == "ann@example.net");
  CHECK(e.recipients.front().notify.never);
}

TEST_CASE("every status has words") {
  for (const auto* status : {"5.1.1", "5.1.10", "4.4.7", "5.7.30", "5.9.9", "", "5", "x"})
    CHECK_FALSE(explain_status(status).cause.empty());
  CHECK(explain_status("5.1.10").cause != explain_status("5.1.1").cause);
}
