#include "imap/client_session.h"

#include <catch2/catch.hpp>

#include "base/overloaded.h"
#include "base/strings.h"

using namespace mail;
using namespace mail::imap;

namespace {
std::string show(const Value& value) {
  switch (value.kind) {
    case Value::Kind::nil:
      return "NIL";
    case Value::Kind::atom:
      return value.text;
    case Value::Kind::string:
      return "\"" + value.text + "\"";
    case Value::Kind::list:
      break;
  }
  std::string out = "(";
  for (const auto& item : value.items) out += (out.size() > 1 ? " " : "") + show(item);
  return out + ")";
}

std::string drain(ClientSession& session) {
  std::string out;
  while (const auto event = session.next()) {
    out += std::visit(
               overloaded{
                   [](const client::SendOctets& e) { return "send " + e.octets; },
                   [](const client::Greeting& e) { return "greeting " + e.status.condition; },
                   [](const client::UntaggedStatus& e) { return "status " + e.status.condition + " " + e.status.code; },
                   [](const client::Untagged& e) {
                     std::string text = "untagged";
                     for (const auto& value : e.values) text += " " + show(value);
                     return text;
                   },
                   [](const client::Continuation& e) { return "continue " + e.text; },
                   [](const client::Completed& e) {
                     return "completed " + e.status.condition + " " + e.status.code + " " + e.status.text;
                   },
                   [](const client::Broken& e) { return "broken " + e.why; },
               },
               *event) +
           "|";
  }
  return out;
}

std::string feed(ClientSession& session, std::string_view octets, std::size_t step) {
  std::string out;
  for (std::size_t at = 0; at < octets.size(); at += step) {
    session.receive(octets.substr(at, step));
    out += drain(session);
  }
  return out;
}
}  // namespace

TEST_CASE("however an IMAP server's octets are split, the events are the same") {
  const std::string input =
      "* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n* 3 FETCH (FLAGS (\\Seen) BODY[HEADER.FIELDS (A B)] {5}\r\nab\r\nc "
      "UID 7 X \"q\\\"\" NIL)\r\n* SEARCH 1 2\r\n* BYE [UNAVAILABLE] gone\r\n";
  for (std::size_t step = 1; step <= input.size(); ++step) {
    ClientSession session;
    CHECK(feed(session, input, step) ==
          "greeting OK|untagged 3 FETCH (FLAGS (\\Seen) BODY[HEADER.FIELDS (A B)] \"ab\r\nc\" UID 7 X \"q\"\" "
          "NIL)|untagged SEARCH 1 2|status BYE UNAVAILABLE|");
    CHECK(session.has("idle"));
  }
}

TEST_CASE("literals wait for the server unless it offers LITERAL+") {
  ClientSession session;
  session.receive("* OK hi\r\n");
  (void)drain(session);
  session.command(ClientCommand("LOGIN ").string("a\"b").text(" ").string("p\xC3\xA9"));
  CHECK(drain(session) == "send A1 LOGIN \"a\\\"b\" {3}\r\n|");
  session.receive("+ go\r\n");
  CHECK(drain(session) == "send p\xC3\xA9\r\n|");
  session.receive("A1 OK [CAPABILITY IMAP4rev1 LITERAL+] in\r\n");
  CHECK(drain(session) == "completed OK CAPABILITY in|");
  session.command(ClientCommand("APPEND ").mailbox("\xC3\xA9").text(" ").literal("x\r\n"));
  CHECK(drain(session) == "send A2 APPEND \"&AOk-\" {3+}\r\nx\r\n\r\n|");
  session.receive("A2 NO [TRYCREATE] no\r\n");
  CHECK(drain(session) == "completed NO TRYCREATE no|");
}

TEST_CASE("a refused literal ends the command") {
  ClientSession session;
  session.receive("* OK hi\r\n");
  (void)drain(session);
  session.command(ClientCommand("APPEND x ").literal("body"));
  (void)drain(session);
  session.receive("A1 NO [TOOBIG] no\r\n");
  CHECK(drain(session) == "completed NO TOOBIG no|");
  session.command(ClientCommand("NOOP"));
  CHECK(drain(session) == "send A2 NOOP\r\n|");
}

TEST_CASE("what came before TLS is forgotten") {
  ClientSession session;
  session.receive("* OK [CAPABILITY STARTTLS] hi\r\n");
  (void)drain(session);
  session.command(ClientCommand("STARTTLS"));
  session.receive("A1 OK go\r\n* CAPABILITY AUTH=PLAIN INJECTED\r\n");
  while (const auto event = session.next())
    if (std::holds_alternative<client::Completed>(*event)) break;
  session.tls_started();
  CHECK(drain(session).empty());
  CHECK(session.capabilities().empty());
}

TEST_CASE("hostile servers are cut off") {
  const auto why = [](std::string_view octets) {
    ClientSession session(1000);
    session.receive(octets);
    return drain(session);
  };
  CHECK(why("HTTP/1.1 200 OK\r\n").find("broken") == 0);
  CHECK(why("* OK hi\r\n* 1 FETCH (BODY[] {99999999999}\r\n").find("broken") != std::string::npos);
  CHECK(why("* OK hi\r\n* " + std::string(100'000, '(') + "\r\n").find("broken") != std::string::npos);
  CHECK(why("* OK hi\r\n* )\r\n").find("broken") != std::string::npos);
  CHECK(why("* OK hi\r\nA9 OK what\r\n").find("broken") != std::string::npos);
  CHECK_FALSE(parse_values("(a"));
  CHECK_FALSE(parse_values("\"a"));
}
