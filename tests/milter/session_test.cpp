#include "milter/session.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

using namespace mail;
using namespace mail::milter;

namespace {

std::string packet(char what, std::string_view data = {}) {
  std::string out;
  append_packet(out, what, data);
  return out;
}
std::string negotiated(std::uint32_t actions, std::uint32_t steps, std::string_view more = {},
                       std::uint32_t version = 6) {
  std::string data;
  for (const auto number : {version, actions, steps}) append_number(data, number);
  return packet('O', data.append(more));
}
std::string texts(std::initializer_list<std::string_view> all) {
  std::string data;
  for (const auto text : all) append_text(data, text);
  return data;
}

/// A session and what became of it, as words.
struct Talk {
  Session session;
  std::string sent;  // since the last look
  std::vector<std::string> happened;
  std::vector<Change> changes;

  void pump() {
    while (auto event = session.next()) {
      if (auto* e = std::get_if<SendOctets>(&*event)) sent += e->octets;
      if (auto* e = std::get_if<Answered>(&*event))
        happened.push_back(e->verdict.kind == Verdict::Kind::refuse    ? e->verdict.reply.line()
                           : e->verdict.kind == Verdict::Kind::accept  ? "accept"
                           : e->verdict.kind == Verdict::Kind::discard ? "discard"
                           : e->verdict.kind == Verdict::Kind::skip    ? "skip"
                                                                       : "go on");
      if (auto* e = std::get_if<Broken>(&*event)) happened.push_back("broken: " + e->why);
      if (std::get_if<Progress>(&*event)) happened.emplace_back("progress");
      if (auto* e = std::get_if<Changed>(&*event)) changes.push_back(e->change);
    }
  }
  /// What the filter's octets lead to.
  std::string hears(std::string_view octets) {
    happened.clear();
    session.receive(octets);
    pump();
    return join(happened, ", ");
  }
  explicit Talk(std::string_view answer = negotiated(kAllActions, 0)) {
    session.start();
    pump();
    hears(answer);
    sent.clear();
  }
  std::string start_again(std::string_view answer) {
    session = Session();
    session.start();
    pump();
    return hears(answer);
  }
};

const Macros kMacros{{"i", "ID7"}, {"j", "mx.example"}, {"{auth_authen}", "ann"}, {"{mail_addr}", ""}};

}  // namespace

TEST_CASE("the negotiation offers what we can do, and takes no more") {
  Session session;
  session.start();
  const auto event = session.next();
  REQUIRE(event);
  std::string data;
  for (const auto number : {6U, 0x1ffU, 0x1ff7ffU}) append_number(data, number);
  CHECK(std::get<SendOctets>(*event).octets == packet('O', data));
  Talk talk;
  CHECK(talk.start_again(negotiated(0, 0)) == "go on");
  CHECK(talk.start_again(negotiated(0, 0, {}, 2)) == "go on");
  CHECK(talk.start_again(negotiated(0, 0, {}, 7)) == "broken: the filter wants version 7");
  CHECK(talk.start_again(negotiated(0x200, 0)) == "broken: the filter wants what is not offered");
  CHECK(talk.start_again(negotiated(0, kRejectedRecipients)) == "broken: the filter wants what is not offered");
  CHECK(talk.start_again(packet('O', "abc")) == "broken: the filter's answer to the negotiation is cut short");
  CHECK(talk.start_again(packet('c')) == "broken: the filter does not negotiate");
  CHECK(talk.start_again(negotiated(0, 0, std::string_view("\0\0\0\x09i\0", 6))) ==
        "broken: the filter's list of macros is malformed");
}

TEST_CASE("each command has its form, with its macros in front") {
  Talk talk;
  const auto sends = [&](auto command) {
    talk.sent.clear();
    command();
    talk.pump();
    CHECK(talk.hears(packet('c')) == "go on");
    return talk.sent;
  };
  auto& s = talk.session;
  CHECK(sends([&] { s.connect("mx.test", IpAddress::parse("192.0.2.1"), 0x1234, kMacros); }) ==
        packet('D', "C" + texts({"j", "mx.example"})) +
            packet('C', texts({"mx.test"}) + "4\x12\x34" + texts({"192.0.2.1"})));
  CHECK(sends([&] { s.connect("unknown", IpAddress::parse("2001:db8::1"), 25, {}); }) ==
        packet('C', texts({"unknown"}) + std::string("6\0\x19", 3) + texts({"2001:db8::1"})));
  CHECK(sends([&] { s.connect("unknown", {}, 0, {}); }) ==
        packet('C', texts({"unknown"}) + std::string("L\0\0", 3) + texts({"unix"})));
  CHECK(sends([&] { s.helo("client.test", kMacros); }) == packet('H', texts({"client.test"})));
  CHECK(sends([&] { s.mail("<a@b>", {"SIZE=7"}, kMacros); }) ==
        packet('D', "M" + texts({"i", "ID7", "{auth_authen}", "ann"})) + packet('M', texts({"<a@b>", "SIZE=7"})));
  CHECK(sends([&] { s.recipient("<c@d>", {}, kMacros); }) ==
        packet('D', "R" + texts({"i", "ID7"})) + packet('R', texts({"<c@d>"})));
  CHECK(sends([&] { s.data({}); }) == packet('T'));
  CHECK(sends([&] { s.header("Subject", " a\r\n b"); }) == packet('L', texts({"Subject", "a\n b"})));
  CHECK(sends([&] { s.end_of_header({}); }) == packet('N'));
  CHECK(sends([&] { s.body("x\r\n"); }) == packet('B', "x\r\n"));
  CHECK(sends([&] { s.body(std::string(70000, 'x')); }).size() == 5 + kChunkOctets);
  CHECK(sends([&] { s.end_of_message(kMacros); }) == packet('D', "E" + texts({"i", "ID7"})) + packet('E'));
  talk.sent.clear();
  s.abort();
  s.quit();
  talk.pump();
  CHECK(talk.sent == packet('A') + packet('Q'));
}

TEST_CASE("steps that a filter does not want are not sent, those it does not answer are not waited for") {
  std::string macros;
  append_number(macros, static_cast<std::uint32_t>(Stage::mail));
  append_text(macros, "j, i");
  Talk talk(negotiated(0, kNoHelo | kNoReplyHeader | kLeadingSpace, macros));
  talk.happened.clear();
  talk.session.helo("x", kMacros);
  talk.session.header("Subject", " a");
  talk.pump();
  CHECK(talk.happened == std::vector<std::string>{"go on", "go on"});
  CHECK(talk.sent == packet('L', texts({"Subject", " a"})));
  talk.sent.clear();
  talk.session.mail("<>", {}, kMacros);
  talk.pump();
  CHECK(talk.sent == packet('D', "M" + texts({"j", "mx.example", "i", "ID7"})) + packet('M', texts({"<>"})));
  Talk old(negotiated(0, 0, {}, 3));
  old.happened.clear();
  old.session.data(kMacros);
  old.pump();
  CHECK(old.sent.empty());
  CHECK(old.happened == std::vector<std::string>{"go on"});
}

TEST_CASE("verdicts") {
  Talk talk;
  const auto answer = [&](const std::string& octets) {
    if (!talk.session.waiting()) talk.session.mail("<a@b>", {}, {});
    talk.pump();
    return talk.hears(octets);
  };
  CHECK(answer(packet('c')) == "go on");
  CHECK(answer(packet('a')) == "accept");
  CHECK(answer(packet('d')) == "discard");
  CHECK(answer(packet('r')) == "550 5.7.1 Refused by a mail filter");
  CHECK(answer(packet('t')) == "451 4.7.1 Not now, says a mail filter: try later");
  CHECK(answer(packet('4')).starts_with("421 4.3.2"));
  CHECK(answer(packet('p') + packet('p')) == "progress, progress");
  CHECK(answer(packet('y', texts({"554 5.7.0 100%% spam"}))) == "554 5.7.0 100% spam");
  CHECK(answer(packet('y', texts({"450 later"}))) == "450 4.7.1 later");
  CHECK(answer(packet('y', texts({"550-5.7.1 one\r\n550 5.7.1 two"}))) == "550 5.7.1 one two");
  if (!talk.session.waiting()) talk.session.mail("<a@b>", {}, {});
  talk.session.receive(packet('y', texts({"550-5.7.1 one\r\n550 5.7.1 two"})));
  talk.sent.clear();
  bool two_lines = false;
  while (auto event = talk.session.next())
    if (const auto* e = std::get_if<Answered>(&*event)) two_lines = e->verdict.reply.text == "5.7.1 one\ntwo";
  CHECK(two_lines);
  const auto slowly = packet('y', texts({"550 5.1.1 slowly"}));
  for (std::size_t i = 0; i + 1 < slowly.size(); ++i) CHECK(answer(slowly.substr(i, 1)).empty());
  CHECK(answer(slowly.substr(slowly.size() - 1)) == "550 5.1.1 slowly");
}

TEST_CASE("changes come at the end of the message, and only what was asked for") {
  Talk talk;
  talk.session.end_of_message({});
  talk.pump();
  const auto index = std::string("\0\0\0\x02", 4);
  std::string octets = packet('h', texts({"X-A", "one\n\ttwo\nthree\r\n"}));
  octets += packet('i', index + texts({"X-B", "b"}));
  octets += packet('m', index + texts({"X-C", ""}));
  octets += packet('b', "new") + packet('b', " body");
  octets += packet('+', texts({"<a@b>"})) + packet('2', texts({"<a@b>", "NOTIFY=NEVER"}));
  octets += packet('-', texts({"<c@d>"})) + packet('e', texts({"<e@f>"})) + packet('q', texts({"odd"}));
  CHECK(talk.hears(octets + packet('p') + packet('a')) == "progress, accept");
  const std::vector<Change> wanted{AddHeader{"X-A", "one\r\n\ttwo\r\n\tthree"},
                                   InsertHeader{2, "X-B", "b"},
                                   ChangeHeader{2, "X-C", ""},
                                   ReplaceBody{"new"},
                                   ReplaceBody{" body"},
                                   AddRecipient{"<a@b>", ""},
                                   AddRecipient{"<a@b>", "NOTIFY=NEVER"},
                                   DeleteRecipient{"<c@d>"},
                                   ChangeFrom{"<e@f>", ""},
                                   Quarantine{"odd"}};
  CHECK(talk.changes == wanted);
  Talk early;
  early.session.end_of_header({});
  early.pump();
  CHECK(early.hears(packet('h', texts({"X-A", "b"}))) == "broken: the filter says 'h' out of place");
  Talk modest(negotiated(kAddHeaders, 0));
  modest.session.end_of_message({});
  modest.pump();
  CHECK(modest.hears(packet('b', "x")) == "broken: the filter makes a change that it did not ask for");
}

TEST_CASE("a filter that does not keep to the protocol") {
  const auto after_mail = [](const std::string& octets) {
    Talk talk;
    talk.session.mail("<a@b>", {}, {});
    talk.pump();
    const auto said = talk.hears(octets);
    CHECK(talk.hears(packet('c')).empty());
    return said;
  };
  CHECK(after_mail(std::string(5, '\0')) == "broken: a packet of 0 octets");
  CHECK(after_mail("\xff\xff\xff\xff") == "broken: a packet of 4294967295 octets");
  CHECK(after_mail(packet('s')) == "broken: the filter says 's' out of place");
  CHECK(after_mail(packet('\x01')) == "broken: the filter says '\\x01' out of place");
  CHECK(after_mail(packet('y', texts({"250 ok"}))).starts_with("broken: the filter's reply"));
  CHECK(after_mail(packet('c') + packet('c')) == "go on, broken: the filter says 'c' unasked");
  Talk talk;
  talk.session.end_of_message({});
  talk.pump();
  CHECK(talk.hears(packet('h', texts({"X A", "b"}))).starts_with("broken: the filter adds a header field"));
  Talk cut;
  cut.session.end_of_message({});
  cut.pump();
  CHECK(cut.hears(packet('m', "ab")) == "broken: a change by the filter is cut short");
  cut.happened.clear();
  cut.session.mail("<a@b>", {}, {});
  cut.pump();
  CHECK(cut.happened == std::vector<std::string>{"broken: the filter is gone"});
}
