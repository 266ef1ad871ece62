#include <catch2/catch.hpp>

#include "base/strings.h"
#include "tests/smtp/server_harness.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::test;

namespace {

TranscriptFactory server_factory() {
  return [](const TranscriptSettings& settings) -> OpenConversation {
    return [settings](int) { return std::make_unique<ServerHarness>(server_settings(settings)); };
  };
}

std::vector<std::string> events_of(const std::vector<std::string_view>& pieces, const TranscriptSettings& settings) {
  ServerHarness harness(server_settings(settings));
  harness.greeting();
  for (const auto piece : pieces) harness.receive(piece);
  return harness.events;
}

std::string message_of(std::string_view data, const TranscriptSettings& settings = {}) {
  ServerHarness harness(server_settings(settings));
  harness.greeting();
  harness.receive("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n");
  const auto output = harness.receive(data);
  if (harness.messages.empty()) return "refused: " + output;
  REQUIRE(harness.messages.size() == 1);
  return harness.messages[0];
}

}  // namespace

TEST_CASE("SMTP server transcripts") { run_transcripts("smtp/transcripts", server_factory()); }

TEST_CASE("however the SMTP input is split, the events are the same") {
  const std::vector<std::pair<std::string, TranscriptSettings>> inputs{
      {"EHLO client.example\r\nMAIL FROM:<ann@example.net> SIZE=100 BODY=8BITMIME\r\nRCPT TO:<ann@example.org> "
       "NOTIFY=NEVER\r\n"
       "RCPT TO:<nobody@example.org>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r.\r\n.\r\nRSET\r\nQUIT\r\n",
       {}},
      {"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\na\r\n..\r\n...b\r\n.c\r\n.\r\nMAIL "
       "FROM:<>\r\nRCPT TO:<bob@example.org>\r\n"
       "BDAT 10\r\nhello\r\nab\r\nBDAT 3 LAST\r\ncde\r\nQUIT\r\n",
       {}},
      {"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\na\nb\rc\r\n.\nd\r\n\r.\r\nef\r\n.\r\nNOOP\r\n",
       {{"normalise", "yes"}}},
      {"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n0123456789\r\n0123456789\r\n.\r\nNOOP\r\n",
       {{"message_octets", "15"}}},
      {"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n01\r\n0123456789\r\n012\r\n.\r\nNOOP\r\n",
       {{"text_line_octets", "5"}}},
      {"EHLO c\r\nAUTH PLAIN\r\nAHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\nBDAT 5\r\nhelloMAIL FROM:a@b\r\nFOO\r\nBDAT "
       "x\r\nQUIT\r\n",
       {{"auth_in_clear", "PLAIN"}}},
      {"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT "
       "TO:<bob@example.org>\r\nDATA\r\na\nb\r\n.\r\nQUIT\r\n",
       {{"mode", "lmtp"}}},
  };
  for (const auto& [text, settings] : inputs) {
    std::string input = text;
    if (settings.contains("normalise")) input.insert(input.find("\r\n.\r\nNOOP"), std::string_view("\0g", 2));
    const auto whole = events_of({input}, settings);
    std::vector<std::string_view> octets;
    for (std::size_t cut = 0; cut <= input.size(); ++cut) {
      const std::string_view all = input;
      const auto split = events_of({all.substr(0, cut), all.substr(cut)}, settings);
      if (split != whole) {
        INFO("cut at " << cut << " of " << printable(input));
        CHECK(split == whole);
      }
      if (cut < input.size()) octets.push_back(all.substr(cut, 1));
    }
    CHECK(events_of(octets, settings) == whole);
  }
}

TEST_CASE("dots are unstuffed and only CRLF . CRLF ends the data") {
  CHECK(message_of("a\r\n.\r\n") == "a\r\n");
  CHECK(message_of(".\r\n") == "");
  CHECK(message_of("..\r\n.\r\n") == ".\r\n");
  CHECK(message_of("...a\r\n.b\r\n.\r\n") == "..a\r\nb\r\n");
  CHECK(message_of("a.\r\n.\r\n") == "a.\r\n");
}

TEST_CASE("smuggled ends of data are refused with 5.6.11 (CVE-2023-51764, 51765, 51766)") {
  const std::string_view nul("\0", 1);
  for (const std::string end :
       {"\n.\n", "\r.\r", "\r\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\r", "\n\n.\r\n", "\r\n\n.\r\n", "\r\r\n.\r\r\n"}) {
    INFO(printable(end));
    const auto result =
        message_of("one" + end + "MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\ntwo\r\n.\r\n");
    CHECK(result == "refused: 550 5.6.11 A bare CR, LF or NUL in the message\r\n");
  }
  CHECK(message_of(concat({"one\r\n", nul, ".\r\n.\r\n"})) ==
        "refused: 550 5.6.11 A bare CR, LF or NUL in the message\r\n");
  CHECK(message_of(concat({"one\r\n.", nul, "\r\n.\r\n"})) ==
        "refused: 550 5.6.11 A bare CR, LF or NUL in the message\r\n");
}

TEST_CASE("normalised, what looks like an end of data is text") {
  const TranscriptSettings settings{{"normalise", "yes"}};
  CHECK(message_of("one\n.\ntwo\r\n.\r\n", settings) == "one\r\n.\r\ntwo\r\n");
  CHECK(message_of("one\r.\rtwo\r\n.\r\n", settings) == "one\r\n.\r\ntwo\r\n");
  CHECK(message_of("one\n.\r\ntwo\r\n.\r\n", settings) == "one\r\n.\r\ntwo\r\n");
  CHECK(message_of("one\r\n.\ntwo\r\n.\r\n", settings) == "one\r\n\r\ntwo\r\n");
  CHECK(message_of(std::string("o\0ne\r\n.\r\n", 9), settings) == "one\r\n");
}

TEST_CASE("a message without leading dots in one receive is one view") {
  smtp::ServerSettings settings;
  smtp::ServerSession session(settings);
  session.greet();
  session.receive("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n");
  while (auto event = session.next())
    if (session.waiting()) session.accept();
  const std::string line = std::string(70, 'x') + "\r\n";
  std::string message;
  for (int i = 0; i < 1000; ++i) message += line;
  const auto size = message.size();
  message += ".\r\n";
  session.receive(message);
  const auto event = session.next();
  REQUIRE(event);
  REQUIRE(std::holds_alternative<smtp::BodyOctets>(*event));
  CHECK(std::get<smtp::BodyOctets>(*event).octets.size() == size);
}

TEST_CASE("an idle SMTP session is small") { CHECK(sizeof(smtp::ServerSession) < 2048); }

TEST_CASE("what came in clear is forgotten when TLS starts (RFC 3207 section 4.2)") {
  ServerHarness harness(server_settings({{"tls", "yes"}}));
  harness.greeting();
  CHECK(harness.receive("EHLO x\r\nSTARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
            .ends_with("220 2.0.0 Ready to start TLS\r\n"));
  CHECK(harness.receive("RCPT TO:<ann@example.org>\r\n").empty());
  harness.start_tls();
  CHECK(harness.receive("NOOP\r\n") == "250 2.0.0 OK\r\n");
  CHECK(harness.receive("MAIL FROM:<>\r\n") == "503 5.5.1 Send HELO or EHLO first\r\n");
  CHECK_FALSE(harness.session().in_transaction());
}

TEST_CASE("shut_down ends a session with 421 between commands and in the data") {
  for (const bool data : {false, true}) {
    ServerHarness harness(server_settings({}));
    harness.greeting();
    if (data) harness.receive("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nhalf a mess");
    harness.session().shut_down("4.3.2 Service shutting down");
    CHECK(harness.receive("x") == "421 4.3.2 Service shutting down\r\n");
    CHECK(harness.closed());
    CHECK(harness.messages.empty());
  }
}

TEST_CASE("a refused client may only QUIT") {
  smtp::ServerSettings settings;
  settings.host_name = "mx.example.org";
  smtp::ServerSession session(settings);
  session.greet(smtp::Reply{554, "5.7.1 No service for you"});
  std::string output;
  session.receive("EHLO x\r\nMAIL FROM:<>\r\nQUIT\r\n");
  while (auto event = session.next())
    if (const auto* reply = std::get_if<smtp::SendReply>(&*event)) output += reply->wire;
  CHECK(output ==
        "554 5.7.1 No service for you\r\n"
        "503 5.5.1 This host takes no mail from you: only QUIT is understood\r\n"
        "503 5.5.1 This host takes no mail from you: only QUIT is understood\r\n"
        "221 2.0.0 mx.example.org closing connection\r\n");
}

TEST_CASE("10^6 recipients, an endless command line and an endless header stay bounded") {
  ServerHarness harness(server_settings({{"recipients", "3"}}));
  harness.greeting();
  harness.receive("EHLO x\r\nMAIL FROM:<>\r\n");
  for (int i = 0; i < 3; ++i) harness.receive("RCPT TO:<ann@example.org>\r\n");
  CHECK(harness.receive("RCPT TO:<bob@example.org>\r\n") == "452 4.5.3 Too many recipients\r\n");
  const std::string much(1 << 16, 'x');
  for (int i = 0; i < 100; ++i) CHECK(harness.receive(much).empty());
  CHECK(harness.session().held_octets() <= 4096);
  CHECK(harness.receive("\r\n") == "500 5.5.2 The line is too long\r\n");
}
