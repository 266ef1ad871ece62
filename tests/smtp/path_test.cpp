// Paths, parameters and replies: what is read, what is refused, and that printing undoes parsing.
#include "smtp/path.h"

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "smtp/extensions.h"
#include "smtp/parameters.h"
#include "smtp/reply.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::smtp;

TEST_CASE("paths are read and printed") {
  struct Case {
    std::string_view path, local_part, domain, printed;
  };
  for (const auto& [path, local_part, domain, printed] : {
           Case{"<a@b.example>", "a", "b.example", "a@b.example"},
           Case{"<a.b+c@b>", "a.b+c", "b", "a.b+c@b"},
           Case{"<\"a b\"@b>", "a b", "b", "\"a b\"@b"},
           Case{"<\"a\"@b>", "a", "b", "a@b"},
           Case{"<\"a\\\"\\\\\"@b>", "a\"\\", "b", "\"a\\\"\\\\\"@b"},
           Case{"<\"\"@b>", "", "b", "\"\"@b"},
           Case{"<\"a@c\"@b>", "a@c", "b", "\"a@c\"@b"},
           Case{"<@x,@y.example:a@b>", "a", "b", "a@b"},
           Case{"<a@[192.0.2.1]>", "a", "[192.0.2.1]", "a@[192.0.2.1]"},
           Case{"<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
           Case{"<Postmaster>", "Postmaster", "", "Postmaster"},
           Case{"<josé@exämple.net>", "josé", "exämple.net", "josé@exämple.net"},
           Case{"<a@xn--exmple-cua.net>", "a", "xn--exmple-cua.net", "a@xn--exmple-cua.net"},
           Case{"<a@under_score.example>", "a", "under_score.example", "a@under_score.example"},
       }) {
    INFO(path);
    const auto parsed = parse_path(path);
    REQUIRE(parsed);
    CHECK(parsed->local_part == local_part);
    CHECK(parsed->domain == domain);
    CHECK(to_string(*parsed) == printed);
    CHECK(*parse_path(to_path(*parsed)) == *parsed);
  }
  CHECK(parse_path("<>", {.null = true})->null());
  CHECK(to_path(Mailbox{}) == "<>");
}

TEST_CASE("what is no path is refused") {
  using namespace std::string_view_literals;
  for (const auto path : {""sv,
                          "<"sv,
                          "a@b"sv,
                          "<>"sv,
                          "<a>"sv,
                          "<a@>"sv,
                          "<@b>"sv,
                          "<a@b"sv,
                          "<a@b>x"sv,
                          "<a@b@c>"sv,
                          "<.a@b>"sv,
                          "<a.@b>"sv,
                          "<a..b@c>"sv,
                          "<a b@c>"sv,
                          "<\"a@b>"sv,
                          "<\"a\\"sv,
                          "<\"a\0b\"@c>"sv,
                          "<\"a\nb\"@c>"sv,
                          "<a\0@c>"sv,
                          "<a@b..c>"sv,
                          "<a@-b>"sv,
                          "<a@b->"sv,
                          "<a@b.>"sv,
                          "<a@[1.2.3]>"sv,
                          "<a@[1.2.3.4>"sv,
                          "<a@[IPv6:1.2.3.4]>"sv,
                          "<a@[::1]>"sv,
                          "<a@[]>"sv,
                          "<@x:>"sv,
                          "<@x,a@b>"sv,
                          "<@:a@b>"sv,
                          "<a@b c>"sv,
                          "<;sh|@b>x"sv,
                          "<jos\xc3@b>"sv,
                          "<a@\xff>"sv,
                          "<a@b\xc0\xaf>"sv}) {
    INFO(printable(path));
    CHECK_FALSE(parse_path(path));
  }
  CHECK_FALSE(parse_path("<" + std::string(300, 'a') + "@b>"));
  CHECK_FALSE(parse_path("<a@" + std::string(64, 'b') + ">"));
  std::string long_domain;
  for (int i = 0; i < 60; ++i) long_domain += "abcde.";
  CHECK_FALSE(parse_path("<a@" + long_domain + "example>"));
}

TEST_CASE("parameters print what they parse") {
  const std::string mail =
      "SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<> HOLDFOR=10 BY=-5;NT MT-PRIORITY=-9 REQUIRETLS";
  CHECK(to_string(*parse_mail_parameters(mail)) == mail);
  const std::string until = "HOLDUNTIL=2026-12-01T00:00:00Z";
  CHECK(to_string(*parse_mail_parameters(until)) == until);
  for (const std::string rcpt :
       {"NOTIFY=NEVER", "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb@c", "ORCPT=utf-8;josé\\x{2B}@c"})
    CHECK(to_string(*parse_rcpt_parameters(rcpt)) == rcpt);
  CHECK_FALSE(parse_mail_parameters("SIZE=1 SIZE=1"));
  CHECK_FALSE(parse_mail_parameters("FROB"));
  CHECK_FALSE(parse_rcpt_parameters("NOTIFY="));
  CHECK_FALSE(from_xtext("a+4g"));
  CHECK_FALSE(from_xtext("a b"));
  CHECK(from_xtext(to_xtext(std::string("\0 +=\xff", 5))) == std::string("\0 +=\xff", 5));
}

TEST_CASE("replies keep their framing whatever is in the text") {
  CHECK(to_wire({250, "ok"}) == "250 ok\r\n");
  CHECK(to_wire({250, ""}) == "250 \r\n");
  CHECK(to_wire({550, "5.1.1 a\nb"}) == "550-5.1.1 a\r\n550 5.1.1 b\r\n");
  CHECK(to_wire({550, "5.1.1 a\rb\x1b"}) == "550 5.1.1 a b \r\n");
  CHECK(Reply{550, "5.1.1 a\nb"}.line() == "550 5.1.1 a b");
  CHECK(Reply{450, "5.1.1 a"}.status() == "4.0.0");
  ReplyReader reader;
  std::string_view input = "250-5 a\r\n250-2.1.0 b\r\n250 2.1.0 c\r\nrest";
  const auto reply = reader.take(input);
  REQUIRE(reply);
  REQUIRE(*reply);
  CHECK((*reply)->text == "5 a\nb\nc");
  CHECK(input == "rest");
}

TEST_CASE("EHLO replies of real servers are understood (MailKit's recordings)") {
  const auto folder = test::vectors("smtp");
  if (folder.empty()) return;
  const auto offered = [&](const std::string& name) {
    const auto text = test::read_path(folder / "mailkit-responses" / name);
    std::string_view input = text;
    ReplyReader reader;
    auto reply = reader.take(input);
    REQUIRE(reply);
    REQUIRE(*reply);
    return parse_ehlo(**reply);
  };
  CHECK(offered("comcast-ehlo+pipelining.txt").pipelining);
  CHECK(offered("comcast-ehlo+dsn.txt").dsn);
  CHECK(offered("comcast-ehlo+requiretls.txt").requiretls);
  CHECK_FALSE(offered("comcast-ehlo+pipelining.txt").auth.empty());
}
