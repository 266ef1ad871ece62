// The parts of `mta serve` that need no socket: the header gate, the trace field, the transaction.
#include <catch2/catch.hpp>

#include "mta/serve/header_gate.h"
#include "mta/serve/trace_field.h"
#include "mta/serve/transaction.h"

using namespace mail;
using namespace mail::mta;

TEST_CASE("the header is found however the message is split") {
  for (const std::string message : {"A: b\r\nC: d\r\n\r\nbody\r\n\r\nmore", "\r\nbody", "A: b\r\n\r\n", "\r\n"}) {
    const auto end = message.starts_with("\r\n") ? 2 : message.find("\r\n\r\n") + 4;
    for (std::size_t cut = 0; cut <= message.size(); ++cut) {
      HeaderGate gate;
      gate.begin(1000);
      std::string body;
      for (const auto& piece : {message.substr(0, cut), message.substr(cut)}) body += gate.feed(piece);
      CHECK(gate.whole());
      CHECK(gate.header() == message.substr(0, end));
      CHECK(body == message.substr(end));
    }
  }
}

TEST_CASE("a header above the limit is told, and no more of it is kept") {
  HeaderGate gate;
  gate.begin(10);
  CHECK(gate.feed("A: b\r\n").empty());
  CHECK_FALSE(gate.whole());
  CHECK(gate.feed(std::string(1000, 'x')).empty());
  CHECK(gate.too_large());
  CHECK(gate.header().size() <= 10);
}

TEST_CASE("what a client says in HELO cannot break the Received field") {
  const auto field = received_field({.helo = "x)\r\nBcc: y (",
                                     .client_name = {},
                                     .client_literal = "[192.0.2.1]",
                                     .host_name = "mx.example.org",
                                     .protocol = "ESMTPS",
                                     .tls = "TLSv1.3 X",
                                     .recipient = "a@b.example"},
                                    *MessageId::parse("65SJBF0760M66DSB"), WallTime{});
  CHECK(field.starts_with("Received: from x???Bcc:?y?? ([192.0.2.1])\r\n\tby mx.example.org (Relais) with ESMTPS id "));
  CHECK(field.find("\r\n\tfor <a@b.example>;\r\n\t") != std::string::npos);
  CHECK(field.find("\nBcc") == std::string::npos);
}

TEST_CASE("protocol words of RFC 3848 and RFC 6531") {
  CHECK(protocol_word(false, false, false, false) == "SMTP");
  CHECK(protocol_word(true, false, false, false) == "ESMTP");
  CHECK(protocol_word(true, true, true, false) == "ESMTPSA");
  CHECK(protocol_word(true, true, false, true) == "UTF8SMTPS");
}

TEST_CASE("a transaction becomes one entry per box; a recipient named twice is one") {
  Transaction transaction;
  spool::Envelope envelope;
  envelope.id = *MessageId::parse("65SJBF0760M66DSB");
  smtp::MailArguments from{.reverse_path = {"joe", "example.net"}};
  from.parameters.ret = smtp::Ret::headers;
  transaction.begin(envelope, from);
  smtp::RcptArguments rcpt{.forward_path = {"friends", "example.org"}};
  rcpt.parameters.notify = smtp::Notify{};
  route::Route route;
  route.expanded = true;
  route.targets = {{"ann@example.org", route::LocalMailbox{"ann", "x"}},
                   {"out@example.com", route::Remote{"example.com"}}};
  transaction.add(rcpt, route);
  transaction.add(rcpt, route);
  CHECK(transaction.only_recipient().empty());
  CHECK(transaction.has_remote());
  const auto entries = transaction.entries();
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].box == spool::Box::local);
  REQUIRE(entries[0].envelope.recipients.size() == 1);
  const auto& local = entries[0].envelope.recipients[0];
  CHECK(local.user == "ann");
  CHECK(local.detail == "x");
  CHECK(local.notify.never);
  CHECK(local.original_recipient == "rfc822;friends@example.org");
  CHECK(entries[1].box == spool::Box::queue);
  CHECK(entries[1].envelope.reverse_path == "joe@example.net");
  CHECK(entries[1].envelope.return_content == spool::ReturnContent::header_fields);
}

TEST_CASE("what is held back waits in the queue, local recipients too") {
  Transaction transaction;
  smtp::MailArguments from;
  from.parameters.hold_for_seconds = 60;
  from.parameters.mt_priority = 9;
  transaction.begin({}, from);
  transaction.cap_priority(0);
  route::Route route;
  route.targets = {{"ann@example.org", route::LocalMailbox{"ann", ""}}};
  transaction.add({.forward_path = {"ann", "example.org"}}, route);
  CHECK(transaction.only_recipient() == "ann@example.org");
  const auto entries = transaction.entries();
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].box == spool::Box::queue);
  CHECK(entries[0].envelope.hold_until == WallTime{} + std::chrono::seconds(60));
  CHECK(entries[0].envelope.priority == 0);
}
