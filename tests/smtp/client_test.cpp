// The client session against scripted peers, and against our own server session.
#include <catch2/catch.hpp>

#include "base/overloaded.h"
#include "base/strings.h"
#include "smtp/client_session.h"
#include "tests/smtp/server_harness.h"

using namespace mail;
using namespace mail::smtp;
using namespace mail::test;

namespace {

constexpr std::string_view kModern =
    "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-AUTH PLAIN "
    "LOGIN\r\n250-STARTTLS\r\n250 SIZE 1000\r\n";

/// Collects what the client does; the content is `content`.
struct Peer {
  ClientSession session;
  std::string content = "Subject: x\r\n\r\nhello\r\n";
  std::string sent;  // since the last say()
  std::vector<MessageResult> results;
  std::optional<SessionOver> over;
  std::optional<AuthResult> auth;
  std::string challenge;
  int ready = 0;
  bool tls = false, tls_refused = false;
  bool give_body = true;

  explicit Peer(ClientSettings settings = {.host_name = "client.example"}) : session(std::move(settings)) { pump(); }

  std::string say(std::string_view octets) {
    sent.clear();
    session.receive(octets);
    pump();
    return sent;
  }
  std::string send(OutgoingMessage message) {
    sent.clear();
    session.send(std::move(message));
    pump();
    return sent;
  }
  void pump() {
    while (auto event = session.next()) {
      std::visit(overloaded{
                     [&](const SendOctets& e) { sent += e.octets; },
                     [&](const Ready&) { ++ready; },
                     [&](const StartTls&) { tls = true; },
                     [&](const TlsRefused&) { tls_refused = true; },
                     [&](const AuthChallenge& e) { challenge = e.challenge; },
                     [&](const AuthResult& e) { auth = e; },
                     [&](const BodyWanted&) {
                       if (!give_body) return;
                       session.body(content);
                       while (auto piece = session.next()) sent += std::get<SendOctets>(*piece).octets;
                       session.finish_body();
                     },
                     [&](const MessageResult& e) { results.push_back(e); },
                     [&](const SessionOver& e) { over = e; },
                 },
                 *event);
    }
  }
};

OutgoingMessage message_to(std::vector<std::string> to) {
  OutgoingMessage message;
  message.reverse_path = {"ann", "example.net"};
  for (auto& name : to) message.recipients.push_back({{std::move(name), "example.org"}, {}});
  return message;
}

Peer modern(ClientSettings settings = {.host_name = "client.example"}) {
  Peer peer(std::move(settings));
  CHECK(peer.say("220 mx ESMTP\r\n") == "EHLO client.example\r\n");
  peer.say(kModern);
  CHECK(peer.ready == 1);
  return peer;
}

}  // namespace

TEST_CASE("a pipelined transaction has one result per recipient") {
  auto peer = modern();
  CHECK(peer.send(message_to({"bob", "nobody"})) ==
        "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n");
  CHECK(peer.say("250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go\r\n") == "Subject: x\r\n\r\nhello\r\n.\r\n");
  peer.say("250 2.0.0 queued as 1\r\n");
  REQUIRE(peer.results.size() == 1);
  const auto& recipients = peer.results[0].recipients;
  CHECK(recipients[0].reply == Reply{250, "2.0.0 queued as 1"});
  CHECK(recipients[0].stage == Stage::end_of_data);
  CHECK(recipients[1].reply == Reply{550, "5.1.1 no"});
  CHECK(recipients[1].stage == Stage::rcpt);
  SECTION("and the next message follows in the same session") {
    CHECK(peer.send(message_to({"eve"})).starts_with("MAIL FROM:<ann@example.net>\r\nRCPT TO:<eve@example.org>\r\n"));
    peer.say("451 4.3.0 no\r\n451 4.3.0 no\r\n503 5.5.1 no\r\n");
    REQUIRE(peer.results.size() == 2);
    CHECK(peer.results[1].recipients[0].stage == Stage::mail);
  }
  SECTION("and QUIT ends it") {
    peer.sent.clear();
    peer.session.quit();
    peer.pump();
    CHECK(peer.sent == "QUIT\r\n");
    peer.say("221 bye\r\n");
    REQUIRE(peer.over);
    CHECK(peer.over->by_quit);
  }
}

TEST_CASE("DATA pipelined after refused recipients, yet 354: an empty message gets out of it (RFC 2920 section 3.1)") {
  auto peer = modern();
  peer.send(message_to({"nobody"}));
  CHECK(peer.say("250 ok\r\n550 5.1.1 no\r\n354 go\r\n") == ".\r\n");
  peer.say("554 5.5.1 no recipients\r\n");
  REQUIRE(peer.results.size() == 1);
  CHECK(peer.results[0].recipients[0].reply.code == 550);
}

TEST_CASE("an old server is spoken to with HELO, one command at a time") {
  Peer peer;
  CHECK(peer.say("220-hello\r\n220 old\r\n") == "EHLO client.example\r\n");
  CHECK(peer.say("500 what\r\n") == "HELO client.example\r\n");
  peer.say("250 old\r\n");
  CHECK(peer.send(message_to({"bob", "eve"})) == "MAIL FROM:<ann@example.net>\r\n");
  CHECK(peer.say("250 ok\r\n") == "RCPT TO:<bob@example.org>\r\n");
  CHECK(peer.say("550 no\r\n") == "RCPT TO:<eve@example.org>\r\n");
  CHECK(peer.say("250 ok\r\n") == "DATA\r\n");
  CHECK(peer.say("354 go\r\n").ends_with("\r\n.\r\n"));
  peer.say("250 ok\r\n");
  CHECK(peer.results.size() == 1);
}

TEST_CASE("all recipients refused without pipelining: RSET before the next message") {
  Peer peer;
  peer.say("220 old\r\n");
  peer.say("250 old\r\n");
  peer.send(message_to({"bob"}));
  peer.say("250 ok\r\n");
  CHECK(peer.say("550 no\r\n") == "RSET\r\n");
  CHECK(peer.send(message_to({"eve"})).empty());
  CHECK(peer.say("250 ok\r\n") == "MAIL FROM:<ann@example.net>\r\n");
}

TEST_CASE("the content is dot-stuffed, line ends are CRLF however it is sliced") {
  const std::string content = ".a\n..b\r\nc\rd\r\n.\r\n\r.";
  const std::string expected = "..a\r\n...b\r\nc\r\nd\r\n..\r\n\r\n..\r\n.\r\n";
  for (std::size_t cut = 0; cut <= content.size(); ++cut) {
    auto peer = modern();
    peer.give_body = false;
    peer.send(message_to({"bob"}));
    peer.say("250 ok\r\n250 ok\r\n354 go\r\n");
    peer.sent.clear();
    peer.session.body(std::string_view(content).substr(0, cut));
    peer.pump();
    peer.session.body(std::string_view(content).substr(cut));
    peer.pump();
    peer.session.finish_body();
    peer.pump();
    CHECK(peer.sent == expected);
  }
}

TEST_CASE("with CHUNKING the content goes by BDAT, unstuffed; a wrong length ends the session") {
  for (const bool right : {true, false}) {
    Peer peer;
    peer.say("220 mx\r\n");
    peer.say("250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    auto message = message_to({"bob"});
    peer.content = ".dot\r\n";
    message.octets = right ? 6 : 7;
    CHECK(peer.send(message) == "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\n");
    CHECK(peer.say("250 ok\r\n250 ok\r\n") == (right ? "BDAT 6 LAST\r\n.dot\r\n" : "BDAT 7 LAST\r\n.dot\r\n"));
    if (right) peer.say("250 ok\r\n");
    REQUIRE(peer.results.size() == 1);
    CHECK(peer.results[0].recipients[0].reply.code == (right ? 250 : 451));
    CHECK(peer.over.has_value() == !right);
  }
}

TEST_CASE("LMTP has one reply per accepted recipient") {
  Peer peer({.host_name = "client.example", .lmtp = true});
  CHECK(peer.say("220 mx LMTP\r\n") == "LHLO client.example\r\n");
  peer.say("250-mx\r\n250 PIPELINING\r\n");
  peer.send(message_to({"ann", "nobody", "bob"}));
  peer.say("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n");
  peer.say("250 2.0.0 ann\r\n");
  CHECK(peer.results.empty());
  peer.say("452 4.2.2 full\r\n");
  REQUIRE(peer.results.size() == 1);
  CHECK(peer.results[0].recipients[0].reply.code == 250);
  CHECK(peer.results[0].recipients[1].reply.code == 550);
  CHECK(peer.results[0].recipients[2].reply.code == 452);
}

TEST_CASE("what was received before the handshake is discarded (NO STARTTLS, CVE-2021-38371)") {
  auto peer = modern();
  peer.session.start_tls();
  peer.pump();
  peer.say("220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n");
  CHECK(peer.tls);
  CHECK(peer.ready == 1);
  peer.session.receive("250 evil too\r\n");
  peer.sent.clear();
  peer.session.tls_started();
  peer.pump();
  CHECK(peer.sent == "EHLO client.example\r\n");
  CHECK(peer.ready == 1);
  peer.say("250-mx\r\n250 SIZE\r\n");
  CHECK(peer.ready == 2);
  CHECK(peer.session.offered().auth.empty());
}

TEST_CASE("AUTH with and without initial response, refused, and with a challenge that is no base64") {
  auto peer = modern();
  CHECK(peer.session.offered().auth == std::vector<std::string>{"PLAIN", "LOGIN"});
  peer.sent.clear();
  peer.session.authenticate("PLAIN", "");
  peer.pump();
  CHECK(peer.sent == "AUTH PLAIN =\r\n");
  peer.say("535 5.7.8 no\r\n");
  REQUIRE(peer.auth);
  CHECK_FALSE(peer.auth->succeeded);
  peer.session.authenticate("LOGIN", std::nullopt);
  peer.pump();
  peer.say("334 VXNlcm5hbWU6\r\n");
  CHECK(peer.challenge == "Username:");
  peer.session.auth_respond("tim");
  peer.sent.clear();
  peer.pump();
  CHECK(peer.sent == "dGlt\r\n");
  CHECK(peer.say("334 not base64!\r\n") == "*\r\n");
  peer.say("501 5.7.0 cancelled\r\n");
  CHECK_FALSE(peer.auth->succeeded);
  peer.session.authenticate("PLAIN", "\1");
  peer.pump();
  peer.say("235 2.7.0 yes\r\n");
  CHECK(peer.auth->succeeded);
}

TEST_CASE("a 250 before the dot is never a delivery") {
  auto peer = modern();
  peer.give_body = false;
  peer.send(message_to({"bob"}));
  peer.say("250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 queued\r\n");
  REQUIRE(peer.results.size() == 1);
  CHECK(peer.results[0].recipients[0].reply.code == 421);
  CHECK(peer.over);
}

TEST_CASE("hostile replies end the session with a temporary result") {
  const auto check = [](const std::vector<std::string>& replies) {
    auto peer = modern();
    peer.send(message_to({"bob"}));
    for (const auto& reply : replies) peer.say(reply);
    INFO(printable(replies.back().substr(0, 60)));
    REQUIRE(peer.results.size() == 1);
    CHECK(peer.results[0].recipients[0].reply.temporary());
    CHECK(peer.over);
  };
  check({"no smtp at all\r\n"});
  check({"250-x\r\n550 y\r\n"});
  check({"999 what\r\n"});
  check({std::string(1 << 20, '2')});
  check({"421 4.3.2 going down\r\n"});
  std::string endless;
  for (int i = 0; i < 10000; ++i) endless += "250-more\r\n";
  check({endless});
  check({"250 a\r\n", "250 b\r\n", "354 c\r\n", "451 x\r\n", "250 one too many\r\n"});
}

TEST_CASE("a lost connection is temporary at every stage") {
  for (int stage = 0; stage < 4; ++stage) {
    auto peer = modern();
    peer.send(message_to({"bob"}));
    if (stage > 0) peer.say("250 ok\r\n");
    if (stage > 1) peer.say("250 ok\r\n");
    if (stage > 2) peer.say("354 ok\r\n");
    peer.session.disconnected("connection reset by peer");
    peer.pump();
    REQUIRE(peer.results.size() == 1);
    CHECK(peer.results[0].recipients[0].reply == Reply{421, "4.4.2 connection reset by peer"});
    CHECK(peer.results[0].recipients[0].stage == (stage == 0   ? Stage::mail
                                                  : stage == 1 ? Stage::rcpt
                                                  : stage == 2 ? Stage::data
                                                               : Stage::end_of_data));
  }
}

TEST_CASE("what the peer cannot do is refused here or left out") {
  auto peer = modern();
  auto message = message_to({"bob"});
  message.parameters.require_tls = true;
  CHECK(peer.send(message).empty());
  CHECK(peer.results.back().recipients[0].reply.text.starts_with("5.7.30"));
  message = message_to({"bob"});
  message.octets = 1001;
  CHECK(peer.send(message).empty());
  CHECK(peer.results.back().recipients[0].reply.code == 552);
  message = message_to({"bob\r\nRCPT TO:<evil@example.org"});
  CHECK(peer.send(message).empty());
  CHECK(peer.results.back().recipients[0].reply.code == 553);
  message = message_to({"bob"});
  message.octets = 10;
  message.parameters.body = Body::eight_bit_mime;
  message.parameters.mt_priority = 3;
  message.parameters.ret = Ret::full;
  message.recipients[0].parameters.notify = Notify{.failure = true};
  CHECK(peer.send(message).starts_with(
      "MAIL FROM:<ann@example.net> SIZE=10 BODY=8BITMIME RET=FULL\r\nRCPT TO:<bob@example.org> NOTIFY=FAILURE\r\n"));
}

TEST_CASE("our client and our server understand each other, in pieces of any size") {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100000}}) {
    ServerHarness server(server_settings({}));
    Peer client;
    client.content = ".dot\r\nJosé\r\n..\r\n";
    std::string to_client = server.greeting();
    std::string to_server;
    for (int turn = 0; turn < 2000; ++turn) {
      if (!to_client.empty()) {
        to_server += client.say(to_client.substr(0, piece));
        to_client.erase(0, piece);
      }
      if (client.ready == 1) {
        client.ready = 0;
        auto message = message_to({"ann", "nobody"});
        if (piece == 7) message.octets = client.content.size();
        to_server += client.send(std::move(message));
      }
      to_client += server.receive(to_server.substr(0, piece));
      to_server.erase(0, std::min(piece, to_server.size()));
    }
    REQUIRE(client.results.size() == 1);
    CHECK(client.results[0].recipients[0].reply.code == 250);
    CHECK(client.results[0].recipients[1].reply.code == 550);
    REQUIRE(server.messages.size() == 1);
    CHECK(server.messages[0] == client.content);
  }
}
