// The queue manager over a real spool, with made-up DNS and hosts that say what the test wants.
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "mta/relay/attempts_log.h"
#include "spool/drop.h"
#include "spool/journal.h"
#include "tests/mta/relay_fixture.h"

using namespace mail;
using namespace mail::relay;
using namespace mail::test;

TEST_CASE("a message goes to its host whole, and leaves the queue") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"bob@far.example", "cy@far.example"});
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
  const auto message = sink.messages()[0];
  CHECK(message.forward_paths == std::vector<std::string>{"<bob@far.example>", "<cy@far.example>"});
  CHECK(message.reverse_path.starts_with("FROM:<sender@client.example>"));
  CHECK(message.content == kContent);
  CHECK(relay.manager->messages() == 0);
}

TEST_CASE("many messages share few connections, each sent once") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  for (int i = 0; i < 100; ++i) relay.put({concat({"u", decimal(i), "@far.example"})});
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  CHECK(sink.count() == 100);
  CHECK(sink.connections() <= 20);
}

TEST_CASE("what is in the queue at the start is sent too; another message's state is respected") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.manager.reset();
  auto e = relay.envelope("", {});
  e.recipients = {{.forward_path = "done@far.example", .state = spool::RecipientState::delivered},
                  {.forward_path = "open@far.example"}};
  relay.put(e);
  relay.begin();
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  REQUIRE(sink.count() == 1);
  CHECK(sink.messages()[0].forward_paths == std::vector<std::string>{"<open@far.example>"});
}

TEST_CASE("one bounce tells of all recipients that were refused; the others are delivered") {
  Sink sink([](const std::string& line) { return contains(line, "bad") ? "550 5.1.1 no such user" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.route("client.example", sink);
  relay.start();
  relay.put({"bad1@far.example", "good@far.example", "bad2@far.example"});
  REQUIRE(relay.until([&] { return sink.count() == 2 && relay.count(Box::queue) == 0; }));
  const auto bounce = sink.messages()[1];
  CHECK(bounce.reverse_path.starts_with("FROM:<>"));
  CHECK(bounce.forward_paths == std::vector<std::string>{"<sender@client.example>"});
  CHECK(contains(bounce.content, "multipart/report"));
  CHECK(contains(bounce.content, "Final-Recipient: rfc822; bad1@far.example"));
  CHECK(contains(bounce.content, "Final-Recipient: rfc822; bad2@far.example"));
  CHECK(contains(bounce.content, "Status: 5.1.1"));
  CHECK_FALSE(contains(bounce.content, "Final-Recipient: rfc822; good@far.example"));
}

TEST_CASE("a bounce to a local sender goes to spool/local; a bounce that bounces, to the postmaster") {
  Sink sink([](const std::string& line) { return line.starts_with("RCPT") ? "550 5.7.1 no" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"bob@far.example"}, "ann@home.example");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(relay.all(Box::local)[0].envelope().recipients[0].user == "ann");
  relay.put({"bob@far.example"}, "");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 2 && relay.count(Box::queue) == 0; }));
  const auto mail = relay.all(Box::local);
  CHECK(std::ranges::any_of(mail, [](const auto& m) { return m.envelope().recipients[0].user == "postmaster"; }));
}

TEST_CASE("a report of ours that cannot be delivered reaches the postmaster, though it asks for no report itself") {
  Sink sink([](const std::string& line) { return line.starts_with("RCPT") ? "550 5.7.1 no" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"bob@far.example"}, "carl@far.example");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  const auto mail = relay.all(Box::local);
  CHECK(mail[0].envelope().recipients[0].user == "postmaster");
  CHECK(contains(mail[0].content(), "Final-Recipient: rfc822; carl@far.example"));
  // What is no report and wants none stays silent.
  auto silent = relay.envelope("", {"dan@far.example"});
  silent.recipients[0].notify.never = true;
  relay.put(silent);
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  CHECK(relay.count(Box::local) == 1);
}

TEST_CASE("a temporary refusal waits for its time, is noted, and is tried again") {
  int refusals = 1;
  Sink sink([&](const std::string& line) {
    return line.starts_with("RCPT") && refusals-- > 0 ? "451 4.7.1 greylisted" : "";
  });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  const auto id = relay.put({"bob@far.example"});
  REQUIRE(relay.until([&] { return !spool::read_log(*relay.spool, Box::queue, id).empty(); }));
  relay.until([&] { return spool::read_envelope(*relay.spool, Box::queue, id)->attempts == 1; });
  const auto envelope = spool::read_envelope(*relay.spool, Box::queue, id);
  CHECK(envelope->next_attempt > relay.clock.now() + std::chrono::seconds(50));
  const auto note = last_notes(spool::read_log(*relay.spool, Box::queue, id)).at(0);
  CHECK(note.status == "4.7.1");
  CHECK(contains(note.reply, "greylisted"));
  CHECK(sink.count() == 0);
  relay.clock.advance(std::chrono::seconds(70));
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
  CHECK_FALSE(relay.spool->disk().stat(relay.spool->directory(Box::queue), id.text() + ".log"));
}

TEST_CASE("a host that is down costs one attempt per destination; then a warning, then a bounce") {
  Relay relay;
  relay.settings.relay.routes["far.example"] = "127.0.0.1:1";
  relay.start();
  for (int i = 0; i < 5; ++i) relay.put({concat({"u", decimal(i), "@far.example"})}, "ann@home.example");
  relay.until([&] { return relay.manager->messages() == 5; });
  relay.until([] { return false; }, std::chrono::milliseconds(300));
  CHECK(relay.count(Box::local) == 0);
  relay.clock.advance(std::chrono::hours(5));
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 5; }));
  for (const auto& warning : relay.all(Box::local)) CHECK(contains(warning.content(), "Action: delayed"));
  CHECK(relay.count(Box::queue) == 5);
  relay.clock.advance(std::chrono::hours(24 * 6));
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 10 && relay.count(Box::queue) == 0; }));
  // The bounce says what was in the way, and that it was tried for as long as it should (RFC 3463 section 2).
  int bounces = 0;
  for (const auto& report : relay.all(Box::local)) {
    if (!contains(report.content(), "Action: failed")) continue;
    ++bounces;
    CHECK(contains(report.content(), "Status: 4.4.1"));
    CHECK(contains(report.content(), "mail server did not answer, until the time for trying ran out"));
    CHECK(contains(report.content(), "Diagnostic-Code: x-relais; 451 4.4.1 connect 127.0.0.1:1: Connection refused"));
  }
  CHECK(bounces == 5);
}

TEST_CASE("the next MX is tried when the first is down; a domain that does not exist bounces") {
  Sink sink;
  Relay relay;
  relay.settings.relay.port = sink.port;
  relay.start();
  net::DnsAnswer mx;
  mx.mx = {{10, "down.far.example"}, {20, "up.far.example"}};
  relay.resolver.add(net::DnsType::mx, "far.example", mx);
  net::DnsAnswer down, up;
  down.addresses = {*IpAddress::parse("127.0.0.99")};
  up.addresses = {*IpAddress::parse("127.0.0.1")};
  relay.resolver.add(net::DnsType::a, "down.far.example", down);
  relay.resolver.add(net::DnsType::a, "up.far.example", up);
  // Port 25 alone makes a loopback address "us".
  relay.put({"bob@far.example"}, "ann@home.example");
  relay.put({"bob@nowhere.example"}, "ann@home.example");
  REQUIRE(
      relay.until([&] { return sink.count() == 1 && relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Status: 5.1.2"));
}

TEST_CASE("an alias: local members get their own message, the remote ones are sent") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"list@home.example", "zoe@far.example", "nobody@home.example"}, "ann@home.example");
  REQUIRE(
      relay.until([&] { return relay.count(Box::queue) == 0 && sink.count() == 2 && relay.count(Box::local) == 2; }));
  bool bounce = false, mail = false;
  for (const auto& m : relay.all(Box::local)) (contains(m.content(), "multipart/report") ? bounce : mail) = true;
  CHECK(bounce);
  CHECK(mail);
}

TEST_CASE("drop: the owner of the file is the sender, local and remote are split, the file goes") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  auto e = relay.envelope("root", {"ann", "bob@far.example"});
  REQUIRE(spool::drop(*relay.spool, e, "Subject: dropped\r\n\r\nx\r\n"));
  REQUIRE(
      relay.until([&] { return sink.count() == 1 && relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(relay.spool->disk().list(relay.spool->directory(Box::drop))->empty());
  const auto local = relay.all(Box::local);
  CHECK(local[0].envelope().reverse_path == "root@mx.home.example");
  CHECK(local[0].envelope().client_address == concat({"uid:", decimal(::getuid())}));
  CHECK(contains(local[0].content(), "Message-ID: <"));
  CHECK(contains(local[0].content(), "Subject: dropped\r\n"));
}

TEST_CASE("too many Received fields are a loop") {
  Relay relay;
  Sink sink;
  relay.route("far.example", sink);
  relay.start();
  std::string content;
  for (int i = 0; i < 60; ++i) content += "Received: from a by b; Sun, 22 Nov 2026 03:00:00 +0000\r\n";
  relay.put({"bob@far.example"}, "ann@home.example", content + "Subject: x\r\n\r\n");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Status: 5.4.6"));
  CHECK(sink.count() == 0);
}

TEST_CASE("so are a dozen Received fields of our own") {
  Relay relay;
  Sink sink;
  relay.route("far.example", sink);
  relay.start();
  const auto with = [](int count, std::string_view name) {
    std::string content;
    for (int i = 0; i < count; ++i)
      content += concat({"Received: from a\r\n\tby ", name, " (Relais) with ESMTP id x\r\n"});
    return content + "Subject: x\r\n\r\n";
  };
  relay.put({"bob@far.example"}, "ann@home.example", with(12, "other.example"));
  relay.put({"bob@far.example"}, "ann@home.example", with(10, "mx.home.example"));
  REQUIRE(relay.until([&] { return sink.count() == 2; }));
  relay.put({"bob@far.example"}, "ann@home.example", with(11, "MX.home.example"));
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Status: 5.4.6"));
  CHECK(sink.count() == 2);
}

TEST_CASE("NOTIFY=SUCCESS without DSN at the peer: relayed is reported by us; NEVER stays silent") {
  Sink sink([](const std::string& line) { return contains(line, "TO:<bad") ? "550 5.1.1 no" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  auto e = relay.envelope("ann@home.example", {});
  e.recipients = {{.forward_path = "bob@far.example", .notify = {.success = true}},
                  {.forward_path = "bad@far.example", .notify = {.never = true}}};
  relay.put(e);
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Action: relayed"));
}

TEST_CASE("a damaged file is set aside, a foreign one left alone") {
  Relay relay;
  relay.start();
  const auto id = relay.put({"bob@far.example"});
  relay.manager.reset();
  REQUIRE(::truncate((relay.spool->directory(Box::queue).path() + "/" + id.text()).c_str(), 100) == 0);
  std::ofstream(relay.spool->directory(Box::queue).path() + "/README") << "x";
  relay.begin();
  REQUIRE(relay.until([&] { return relay.count(Box::corrupt) == 1; }));
  CHECK(relay.spool->disk().stat(relay.spool->directory(Box::queue), "README"));
}

TEST_CASE("a reply to the dot that never comes keeps the message") {
  Sink sink([](const std::string& line) { return line == "." ? "close" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  const auto id = relay.put({"bob@far.example"});
  REQUIRE(relay.until([&] { return relay.attempts(id) == 1; }));
  CHECK(relay.count(Box::queue) == 1);
}

TEST_CASE("stopping leaves mail that is due for the next start") {
  Sink sink([](const std::string& line) { return line.starts_with("RCPT") ? "451 4.7.1 greylisted" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  const auto id = relay.put({"u@far.example"});
  REQUIRE(relay.until([&] { return relay.attempts(id) == 1 && relay.manager->busy() == 0; }));
  relay.clock.advance(std::chrono::hours(1));
  bool stopped = false;
  relay.manager->stop([&] { stopped = true; });
  CHECK(relay.until([&] { return stopped; }));
  CHECK(relay.attempts(id) == 1);
}

TEST_CASE("stopping lets transactions end") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  for (int i = 0; i < 50; ++i) relay.put({"u@far.example"});
  relay.until([&] { return sink.count() > 5; });
  bool stopped = false;
  relay.manager->stop([&] { stopped = true; });
  REQUIRE(relay.until([&] { return stopped; }));
  CHECK(sink.count() + relay.count(Box::queue) == 50);
}

TEST_CASE("8-bit mail for a host without 8BITMIME is converted; what is signed bounces (RFC 6152)") {
  Sink old([](const std::string& line) { return line.starts_with("EHLO") ? "250 old.example" : ""; });
  Sink modern;
  Relay relay;
  relay.route("far.example", old);
  relay.route("new.example", modern);
  relay.start();
  auto e = relay.envelope("ann@home.example", {"bob@far.example", "bob@new.example"});
  e.body = spool::BodyType::eight_bit_mime;
  const std::string text =
      "Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9f"
      "e aus der weiten Ferne\r\n";
  relay.put(e, text);
  REQUIRE(relay.until([&] { return old.count() == 1 && modern.count() == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(old.messages()[0].content, "quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe aus"));
  CHECK_FALSE(contains(old.messages()[0].reverse_path, "BODY"));
  CHECK(contains(modern.messages()[0].content, text));
  e.id = MessageId::generate();
  e.recipients.resize(1);
  relay.put(e, "Content-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\n\xc3\xa9\r\n--x\r\n\r\nsig\r\n--x--\r\n");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Status: 5.6.3"));
  CHECK(old.count() == 1);
}

TEST_CASE("while a map cannot be read mail waits; nothing bounces, and it goes on by itself") {
  Sink sink;
  Relay relay;
  const auto map = relay.temporary / "transport";
  std::ofstream(map) << "far.example two words\n";
  relay.settings.relay.route_maps = {map};
  relay.start();
  relay.put({"bob@far.example"}, "ann@home.example");
  REQUIRE(relay.until([&] { return relay.manager->messages() == 1; }));
  relay.until([] { return false; }, std::chrono::milliseconds(100));
  CHECK((relay.count(Box::queue) == 1 && relay.count(Box::local) == 0));
  std::ofstream(map) << "far.example 127.0.0.1:" << sink.port << "\n";
  relay.router->reload();
  relay.clock.advance(std::chrono::seconds(61));
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
}

TEST_CASE("routes by sender and account make destinations of their own") {
  Sink one, two, rest;
  Relay relay;
  relay.route("*", rest);
  relay.settings.relay.sender_routes["news@home.example"] =
      concat({"127.0.0.1:", decimal(one.port), " source=127.0.0.2"});
  relay.settings.relay.user_routes["shop"] = concat({"127.0.0.1:", decimal(two.port)});
  relay.start();
  relay.put({"bob@far.example"}, "news@home.example");
  relay.put({"bob@far.example"}, "ann@home.example");
  auto e = relay.envelope("news@home.example", {"bob@far.example"});
  e.authenticated_user = "shop";
  relay.put(e);
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  CHECK((one.count() == 1 && two.count() == 1 && rest.count() == 1));
}

TEST_CASE("a message that requires TLS does not go where the host cannot promise it, its bounce does (RFC 8689)") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  auto e = relay.envelope("ann@far.example", {"bob@far.example"});
  e.require_tls = true;
  e.return_content = spool::ReturnContent::full;
  relay.put(e);
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
  const auto bounce = sink.messages()[0];
  CHECK(contains(bounce.reverse_path, "<>"));
  CHECK(contains(bounce.content, "Status: 5.7.10"));
  CHECK(contains(bounce.content, "does not offer it"));
  CHECK_FALSE(contains(bounce.content, "Body."));
}

TEST_CASE("TLS-Required: No goes in clear where TLS is required and does not come about; the rest waits (RFC 8689)") {
  Sink sink;
  Relay relay;
  relay.settings.relay.tls = "required";
  relay.route("far.example", sink);
  relay.start();
  spool::Envelope e;
  e.arrival = relay.clock.now();
  e.reverse_path = "ann@home.example";
  e.recipients = {{.forward_path = "bob@far.example"}};
  const auto put = [&](bool optional, bool required) {
    e.id = MessageId::generate();
    e.tls_optional = optional;
    e.require_tls = required;
    return relay.put(e);
  };
  const auto waits = put(false, false);
  put(true, true);  // REQUIRETLS stands above the field, and does not wait
  put(true, false);
  REQUIRE(
      relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 1 && relay.count(Box::local) == 1; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Status: 5.7.10"));
  // Also what is dropped, where the field is seen for the first time.
  e.id = MessageId::generate();
  e.tls_optional = e.require_tls = false;
  REQUIRE(spool::drop(*relay.spool, e, "Subject: dropped\r\nTLS-Required:\r\n no\r\n\r\nx\r\n"));
  REQUIRE(relay.until([&] { return sink.count() == 2 && relay.count(Box::queue) == 1; }));
  CHECK(spool::read_envelope(*relay.spool, Box::queue, waits));
}

TEST_CASE("the bounce of TLS-Required: No says so too") {
  Sink sink(
      [](const std::string& line) { return std::string(line == "RCPT TO:<bob@far.example>" ? "550 5.1.1 no" : ""); });
  Relay relay;
  relay.settings.relay.tls = "required";
  relay.route("far.example", sink);
  relay.start();
  spool::Envelope e;
  e.id = MessageId::generate();
  e.arrival = relay.clock.now();
  e.reverse_path = "ann@far.example";
  e.tls_optional = true;
  e.recipients = {{.forward_path = "bob@far.example"}};
  relay.put(e);
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(sink.messages()[0].content, "\r\nTLS-Required: No\r\n"));
}
