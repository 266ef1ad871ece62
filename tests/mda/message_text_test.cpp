#include "mda/message_text.h"

#include <catch2/catch.hpp>

using namespace mail;
using namespace mail::mda;

TEST_CASE("a loop is a Delivered-To of ours below a Received field") {
  const auto trace = read_trace(
      "Delivered-To: ann@example.test\r\nReceived: a\r\n\tb\r\nDELIVERED-TO: <Ann@Example.test>\r\nReceived: "
      "c\r\n\r\nDelivered-To: ann@example.test\r\n",
      "ann@example.test");
  CHECK(trace.received == 2);
  CHECK(trace.delivered_here == 1);
  CHECK(read_trace("Delivered-To: ann@example.test\nSubject: x\n\n", "ann@example.test").delivered_here == 0);
  CHECK(read_trace("Received: x\nDelivered-To: bob@example.test\n", "ann@example.test").delivered_here == 0);
  CHECK(read_trace("", "x").received == 0);
}

TEST_CASE("delivery fields cannot be broken out of") {
  CHECK(delivery_fields("", "ann@x") == "Return-Path: <>\nDelivered-To: ann@x\n");
  CHECK(delivery_fields("a@b\r\nX: y", "ann@x\n\nbody") == "Return-Path: <a@bX: y>\nDelivered-To: ann@xbody\n");
}

TEST_CASE("the envelope lines of other agents are taken away and believed") {
  std::string sender;
  CHECK(without_envelope_lines("From bob@example.net Sun Nov 22 03:00:00 2026\nSubject: x\n\nbody\n", sender) ==
        "Subject: x\n\nbody\n");
  CHECK(sender == "bob@example.net");
  sender.clear();
  CHECK(without_envelope_lines("Return-Path: <carl@example.net>\r\nReturn-Path: <other@x>\r\nSubject: x\r\n\r\n",
                               sender) == "Subject: x\r\n\r\n");
  CHECK(sender == "carl@example.net");
  sender.clear();
  CHECK(without_envelope_lines("From MAILER-DAEMON Sun\nSubject: From x\n\n", sender) == "Subject: From x\n\n");
  CHECK(sender.empty());
  CHECK(without_envelope_lines("Subject: x\nReturn-Path: <late@x>\n\n", sender) ==
        "Subject: x\nReturn-Path: <late@x>\n\n");
  CHECK(without_envelope_lines("", sender).empty());
  CHECK(without_envelope_lines("From x", sender).empty());
}

TEST_CASE("an mbox entry quotes From_ lines so that they can be unquoted") {
  const auto entry = mbox_entry("Return-Path: <a@b>\n", "Subject: x\r\n\r\nFrom me\r\n>From you\r\n from\r\nlast",
                                "a b@c", WallTime{});
  CHECK(entry ==
        "From ab@c Thu Jan  1 00:00:00 1970\nReturn-Path: <a@b>\nSubject: x\n\n>From me\n>>From you\n from\nlast\n\n");
  CHECK(mbox_entry("", "x\n", "", WallTime{}).starts_with("From MAILER-DAEMON "));
}

TEST_CASE("line ends") {
  CHECK(with_lf("a\r\nb\rc\n\r\n") == "a\nb\rc\n\n");
  CHECK(with_lf("").empty());
}

TEST_CASE("the Received field of LMTP") {
  CHECK(received_field({.helo = "mx.example.net",
                        .client_address = "192.0.2.1",
                        .host_name = "host.example.test",
                        .protocol = "LMTP",
                        .id = "ID",
                        .recipient = "ann@example.test"},
                       WallTime{}) ==
        "Received: from mx.example.net ([192.0.2.1])\n\tby host.example.test with LMTP id ID\n\tfor "
        "<ann@example.test>; Thu, 01 Jan 1970 00:00:00 +0000\n");
}
