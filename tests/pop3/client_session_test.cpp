#include "pop3/client_session.h"

#include <catch2/catch.hpp>

using namespace mail::pop3;

namespace {
std::string drain(ClientSession& session) {
  std::string out;
  while (const auto event = session.next()) {
    if (const auto* send = std::get_if<client::SendOctets>(&*event)) out += "send " + send->octets + "|";
    if (const auto* reply = std::get_if<client::Reply>(&*event))
      out += std::string(reply->ok ? "ok " : "err ") + reply->text + "[" + reply->body + "]|";
    if (const auto* more = std::get_if<client::Continuation>(&*event)) out += "continue " + more->text + "|";
    if (const auto* broken = std::get_if<client::Broken>(&*event)) out += "broken " + broken->why + "|";
  }
  return out;
}
}  // namespace

TEST_CASE("however a POP3 server's octets are split, the replies are the same") {
  const std::string input = "+OK 9 octets\r\na\r\n..b\r\n.\r\n";
  for (std::size_t step = 1; step <= input.size(); ++step) {
    ClientSession session;
    session.receive("+OK hi <1@x>\r\n");
    CHECK(drain(session) == "ok hi <1@x>[]|");
    CHECK(session.timestamp() == "<1@x>");
    session.command("RETR 1", true);
    std::string out = drain(session);
    for (std::size_t at = 0; at < input.size(); at += step) {
      session.receive(std::string_view(input).substr(at, step));
      out += drain(session);
    }
    CHECK(out == "send RETR 1\r\n|ok 9 octets[a\r\n.b\r\n]|");
  }
}

TEST_CASE("errors have no body, challenges are told, garbage ends the session") {
  ClientSession session;
  session.receive("+OK hi\r\n");
  (void)drain(session);
  session.command("LIST", true);
  session.receive("-ERR [SYS/TEMP] later\r\n");
  CHECK(drain(session) == "send LIST\r\n|err [SYS/TEMP] later[]|");
  session.command("AUTH PLAIN");
  session.receive("+ \r\n");
  CHECK(drain(session) == "send AUTH PLAIN\r\n|continue |");
  session.command("USER a\r\nDELE 1");
  CHECK(drain(session).find("broken") == 0);
  session.receive("220 smtp\r\n");
  CHECK(drain(session).find("broken") == 0);
}

TEST_CASE("what a server can make a client hold is bounded") {
  ClientSession session(1000);
  session.receive("+OK hi\r\n");
  (void)drain(session);
  session.command("RETR 1", true);
  (void)drain(session);
  session.receive("+OK\r\n");
  for (int i = 0; i < 100; ++i) session.receive("0123456789012345678901234567890\r\n");
  CHECK(drain(session).find("broken") == 0);
  ClientSession endless;
  endless.receive(std::string(2'000'000, 'x'));
  CHECK(drain(endless).find("broken") == 0);
}
