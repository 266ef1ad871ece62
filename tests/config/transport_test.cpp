#include "config/transport.h"

#include <catch2/catch.hpp>

using namespace mail;
using config::Transport;

namespace {

Transport parsed(std::string_view text) {
  const auto transport = Transport::parse(text);
  if (!transport) FAIL(text << " " << transport.error().text);
  return *transport;
}
std::string complaint(std::string_view text) {
  const auto transport = Transport::parse(text);
  return transport ? "none" : transport.error().text;
}

}  // namespace

TEST_CASE("hosts of a transport") {
  const auto plain = parsed("mail.example.net:2525");
  CHECK((plain.kind == Transport::Kind::smtp && plain.host.host == "mail.example.net" && plain.host.port == 2525));
  CHECK(parsed("smtp:mail.example.net").host.port == 25);
  CHECK(parsed("lmtp:mail.example.net").host.port == 24);
  const auto postfix = parsed("relay:[mail.example.net]:587");
  CHECK((postfix.kind == Transport::Kind::smtp && postfix.host.host == "mail.example.net" && postfix.host.port == 587));
  CHECK(parsed("smtp:[2001:db8::1]:26").host.host == "2001:db8::1");
  CHECK(parsed("lmtp:unix:/run/lmtp").host.path == "/run/lmtp");
  CHECK(parsed("unix:/run/lmtp").kind == Transport::Kind::lmtp);
  CHECK((parsed("mx:").kind == Transport::Kind::mx && parsed("mx:").domain.empty()));
  CHECK(parsed("MX:Example.NET").domain == "example.net");
}

TEST_CASE("options of a transport") {
  const auto all = parsed(
      "smtp:h:587 tls=required auth=ann password_file=/etc/pw source=192.0.2.1 source=2001:db8::1 family=ipv4-only");
  CHECK((all.tls == "required" && all.auth_user == "ann" && all.auth_file == "/etc/pw" && all.family == "ipv4-only"));
  CHECK(all.source == config::Strings{"192.0.2.1", "2001:db8::1"});
  CHECK(parsed("mx: source=192.0.2.1").source.size() == 1);
}

TEST_CASE("programs, refusals and mail that stays") {
  const auto pipe = parsed("pipe: user=fax /usr/bin/fax -- %r \"two words\"");
  CHECK((pipe.kind == Transport::Kind::pipe && pipe.run_as == "fax"));
  CHECK(pipe.argv == config::Strings{"/usr/bin/fax", "--", "%r", "two words"});
  const auto refused = parsed("error:5.1.6 moved to ann@example.net");
  CHECK((refused.code == 550 && refused.enhanced == "5.1.6" && refused.text == "moved to ann@example.net"));
  CHECK((parsed("error:4.3.2 later").code == 450 && parsed("error:no").enhanced == "5.7.1"));
  CHECK(parsed("discard:").kind == Transport::Kind::discard);
  CHECK(parsed("local:ann").text == "ann");
}

TEST_CASE("a name stands for a transport of the table") {
  const config::Table named{{"out", "smtp:h:587 tls=required"}, {"bad", "smtp:h:x"}};
  const auto out = Transport::parse("Out", named);
  REQUIRE(out);
  CHECK((out->name == "out" && out->tls == "required"));
  CHECK(Transport::parse("other:25", named)->name == "other:25");
  CHECK(Transport::parse("bad", named).error().text.find("names the transport bad") == 0);
}

TEST_CASE("what is wrong with a transport is said with what was meant") {
  CHECK(complaint("") == "is empty: a transport such as \"smtp:host:25\" is expected");
  CHECK(complaint("smtp:") == "needs a host behind smtp:");
  CHECK(complaint("smtp:h:70000") == "needs \"host:port\", \"[address]:port\" or \"unix:/path\", not \"h:70000\"");
  CHECK(complaint("smtp:h tls=yes") == "must have tls=none, opportunistic, required or implicit, not yes");
  CHECK(complaint("smtp:h colour=red") ==
        "has an unknown option colour=: tls, auth, password_file, source and family are known");
  CHECK(complaint("smtp:h other") == "has \"other\" behind the host, where options are name=value");
  CHECK(complaint("smtp:h auth=ann") == "needs both auth= and password_file=, or neither");
  CHECK(complaint("smtp:h auth=ann password_file=pw") == "needs an absolute path in password_file=, not pw");
  CHECK(complaint("smtp:h source=here") == "needs an IP address in source=, not here");
  CHECK(complaint("smtp:h family=ipx") == "must have family=ipv4, ipv6, ipv4-only or ipv6-only, not ipx");
  CHECK(complaint("smtp:h tls=") == "has no value for tls=");
  CHECK(complaint("pipe: prog") == "has \"prog\" where user=NAME or an absolute path of a program is expected");
  CHECK(complaint("pipe:").find("needs a program: ") == 0);
  CHECK(complaint("pipe: /x \"y").find("needs a program: quote is not closed") == 0);
  CHECK(complaint("a\x01") == "holds a control character");
}
