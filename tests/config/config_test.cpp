#include <catch2/catch.hpp>
#include <fstream>

#include "base/strings.h"
#include "config/load.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::config;

namespace {

std::vector<std::string> problems_of(std::string_view text) {
  std::vector<std::string> out;
  const auto settings = load_text(text, "f.toml");
  if (!settings)
    for (const auto& problem : settings.error()) out.push_back(to_string(problem));
  return out;
}
using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("an empty file gives the defaults") {
  const auto settings = load_text("");
  REQUIRE(settings);
  CHECK(settings->smtp.message_octets == megabytes(64));
  CHECK(settings->spool.directory == "/var/spool/relais");
  CHECK(settings->smtp.listen.empty());
}

TEST_CASE("every kind of value") {
  const auto settings = load_text(R"(
[host]
domains = ["example.test", "Example.ORG"]
[smtp]
listen = "127.0.0.1:2525"
submission = ["[::1]:587", "*:587", "unix:/run/x"]
message_octets = "10 MB"
header_octets = 4096
command_timeout = "1h30m"
lenient = false
recipients = 7
relay_networks = ["192.0.2.0/24", "2001:db8::/32"]
[auth]
failure_delay = "250ms"
[relay.routes]
"Example.NET" = "127.0.0.1:2600"
sub.example.net = "mail.example.net:26"
[[tls.certificates]]
certificate = "/a.pem"
key = "/a.key"
[[tls.certificates]]
certificate = "/b.pem"
)");
  REQUIRE(settings);
  CHECK(local_domains(*settings) == Strings{"example.test", "example.org"});
  CHECK(settings->smtp.listen == Endpoints{{"127.0.0.1", 2525, ""}});
  CHECK(settings->smtp.submission == Endpoints{{"::1", 587, ""}, {"*", 587, ""}, {"", 0, "/run/x"}});
  CHECK(settings->smtp.message_octets == megabytes(10));
  CHECK(settings->smtp.header_octets == kilobytes(4));
  CHECK(settings->smtp.command_timeout == minutes(90));
  CHECK_FALSE(settings->smtp.lenient);
  CHECK(settings->smtp.recipients == 7);
  CHECK(settings->smtp.relay_networks.at(0).contains(*IpAddress::parse("192.0.2.200")));
  CHECK(settings->auth.failure_delay == milliseconds(250));
  CHECK(settings->relay.routes == Table{{"example.net", "127.0.0.1:2600"}, {"sub.example.net", "mail.example.net:26"}});
  CHECK(settings->tls.certificates == std::vector<Certificate>{{"/a.pem", "/a.key"}, {"/b.pem", ""}});
}

TEST_CASE("all mistakes are reported at once, each with its line and what was meant") {
  const auto found = problems_of(R"([smtp]
lisen = ["127.0.0.1:25"]
message_octets = "ten"
lenient = "yes"
recipients = -1
bare_newlines = "keep"
listen = ["127.0.0.1:99999"]
[stmp]
x = 1
[imap]
idle_timeout = "100ms"
message_octets = 3
[log]
target = "file"
level = 7
)");
  REQUIRE(found.size() == 11);
  CHECK(found[0] == "f.toml:2: unknown key smtp.lisen; did you mean smtp.listen?");
  CHECK(found[1] == R"(f.toml:3: smtp.message_octets must be a size such as "64MB" or 65536, not the text "ten")");
  CHECK(found[2] == R"(f.toml:4: smtp.lenient must be true or false, not the text "yes")");
  CHECK(found[3] == "f.toml:5: smtp.recipients must be a number from 0 to 18446744073709551615, not the number -1");
  CHECK(found[4] == R"(f.toml:6: smtp.bare_newlines must be one of "refuse", "normalise", not the text "keep")");
  CHECK(found[5].starts_with("f.toml:7: smtp.listen must be an address such as "));
  CHECK(found[6] == "f.toml:8: unknown section [stmp]; did you mean [smtp]?");
  CHECK(found[7] == R"(f.toml:11: imap.idle_timeout must be a duration in whole seconds, not the text "100ms")");
  CHECK(found[8] == "f.toml:12: unknown key imap.message_octets; did you mean smtp.message_octets?");
  CHECK(found[9] == "f.toml:15: log.level must be a text in quotes, not the number 7");
  CHECK(found[10] == "f.toml:14: log.target must be stderr, syslog, journal, none or file:/PATH, not \"file\"");
}

TEST_CASE("texts that have a grammar of their own are checked, each on its line") {
  const auto found = problems_of(R"([policy]
milters = [
  "unix:/run/rspamd.sock", "127.0.0.1:8891 accept",
  "unix:run/relative",
  "filter.example:8891",
  "127.0.0.1 tempfail",
  "[::1]:8891 explode",
  "[::1]:8891 accept now",
  "",
]
delegation = "127.0.0.1"
delegation_stages = ["RCPT", "VRFY"]
[relay]
smart_host = "smtp:"
source_address = ["192.0.2.1", "here"]
[relay.transports]
out = "smtp:h:587"
bad = "smtp:h:x"
[relay.routes]
"a.example" = "out"
"b.example" = "bad"
sub.c.example = "pipe: prog"
[relay.rates]
"*" = "many"
)");
  const std::string peer = R"(must be "address:port" (an IP address) or "unix:/path", not )";
  const std::string failure = R"(may have accept, tempfail, reject or quarantine behind the address, not )";
  CHECK(found == Lines{R"(f.toml:12: policy.delegation_stages must be one of "HELO", "MAIL", "RCPT", "DATA", )"
                       R"("END-OF-MESSAGE", not the text "VRFY")",
                       concat({"f.toml:4: policy.milters ", peer, R"("unix:run/relative")"}),
                       concat({"f.toml:5: policy.milters ", peer, R"("filter.example:8891")"}),
                       concat({"f.toml:6: policy.milters ", peer, R"("127.0.0.1")"}),
                       concat({"f.toml:7: policy.milters ", failure, R"("[::1]:8891 explode")"}),
                       concat({"f.toml:8: policy.milters ", failure, R"("[::1]:8891 accept now")"}),
                       concat({"f.toml:9: policy.milters ", peer, R"("")"}),
                       concat({"f.toml:11: policy.delegation ", peer, R"("127.0.0.1")"}),
                       "f.toml:14: relay.smart_host needs a host behind smtp:",
                       R"(f.toml:15: relay.source_address must hold IP addresses, not "here")",
                       R"(f.toml:18: [relay.transports] "bad" needs "host:port", "[address]:port" or "unix:/path", )"
                       R"(not "h:x")",
                       R"(f.toml:21: [relay.routes] "b.example" names the transport bad, which needs "host:port", )"
                       R"("[address]:port" or "unix:/path", not "h:x")",
                       R"(f.toml:22: [relay.routes] "sub.c.example" has "prog" where user=NAME or an absolute path )"
                       R"(of a program is expected)",
                       R"(f.toml:24: [relay.rates] "*" must be "MESSAGES/TIME" as in "60/1m", not "many")"});
}

TEST_CASE("names, places and mechanisms are checked") {
  CHECK(problems_of(R"([host]
name = "mail example"
domains = ["example.test", "bücher.example", "a b", "", "x@y", ".x"]
postmaster = "not an address"
[spool]
directory = "spool"
[mail]
root = "/var/mail/%z/%n"
[auth]
mechanisms = ["plain", "FOO", "SCRAM-SHA-256-PLUS"]
)") == Lines{R"(f.toml:2: host.name must be a host's name such as "mail.example.org", not "mail example")",
             R"(f.toml:3: host.domains must hold domains such as "example.org", not "a b")",
             R"(f.toml:3: host.domains must hold domains such as "example.org", not "")",
             R"(f.toml:3: host.domains must hold domains such as "example.org", not "x@y")",
             R"(f.toml:3: host.domains must hold domains such as "example.org", not ".x")",
             R"(f.toml:4: host.postmaster must be an address such as "postmaster@example.org", not "not an address")",
             R"(f.toml:6: spool.directory must be an absolute path, not "spool")",
             "f.toml:8: mail.root has %z, where only %u, %n, %d, %h and %% mean something",
             R"(f.toml:10: auth.mechanisms may hold PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5 and EXTERNAL, )"
             R"(not "FOO")",
             R"(f.toml:10: auth.mechanisms names "SCRAM-SHA-256-PLUS": auth.channel_binding = true offers it beside )"
             R"(the plain one)"});
  for (const auto* root : {"/a/%d/%n", "~/Maildir", "%h/Maildir", "maildir:~/Maildir", "mbox:/var/mail/%u", "/a/%%"})
    CHECK(problems_of(concat({"[mail]\nroot = \"", root, "\"\n"})).empty());
  CHECK(problems_of("[mail]\nroot = \"Maildir\"\n").size() == 1);
  CHECK(problems_of("[mail]\nroot = \"/x/%\"\n").size() == 1);
}

TEST_CASE("--check also looks for the files that are named, in one go with all other mistakes") {
  const test::TemporaryDirectory directory;
  const auto file = directory / "a.toml";
  std::ofstream(file) << "[users]\npasswd_file = \"/nonexistent/users\"\naliases_file = \"" << directory / ""
                      << "\"\n"
                      << "[[tls.certificates]]\ncertificate = \"" << file << "\"\nkey = \"/nonexistent/key\"\n"
                      << "[smtp]\nerrors = \"many\"\n";
  bool asked = false;
  const std::vector<FurtherCheck> further{[&](const Settings&) {
    asked = true;
    return std::vector<std::string>{"users:3: wrong"};
  }};
  CHECK(mistakes({file}, further) ==
        Lines{file + ":2: users.passwd_file names /nonexistent/users: No such file or directory",
              concat({file, ":3: users.aliases_file names ", directory / "", ", which is a directory"}),
              file + R"(:6: [tls.certificates] "key" names /nonexistent/key: No such file or directory)",
              file + R"(:8: smtp.errors must be a whole number without quotes, not the text "many")"});
  CHECK_FALSE(asked);
  // A program that starts does not look: another one may need them.
  std::ofstream(file) << "[users]\npasswd_file = \"/nonexistent/users\"\n";
  CHECK(load({file}));
  std::ofstream(file) << "[smtp]\nerrors = 5\n";
  CHECK(mistakes({file}, further) == Lines{"users:3: wrong"});
  CHECK(mistakes({file}, {}).empty());
  std::ofstream(file) << "[imap]\ntls_listen = [\"*:993\"]\n";
  CHECK(mistakes({file}, {}) ==
        Lines{file + ":2: imap.tls_listen is for TLS, which needs a [[tls.certificates]] with certificate and key"});
  CHECK(mistakes({directory / ""}, {}) == Lines{(directory / "") + ": cannot be read: it is a directory"});
}

TEST_CASE("what is not TOML is told with its line") {
  const auto found = problems_of("[smtp]\nlisten = [\"a:1\"\n[imap]\n");
  REQUIRE(found.size() == 1);
  CHECK(found[0].starts_with("f.toml:3: not TOML: "));
  CHECK(problems_of("a = 1979-05-27\n") == Lines{"f.toml:1: dates and times are not used here"});
  CHECK(problems_of("smtp = 3\n") == Lines{"f.toml:1: [smtp] is a section, not a key"});
}

TEST_CASE("overlays: the last file counts, free tables are joined") {
  const test::TemporaryDirectory directory;
  std::ofstream(directory / "a.toml")
      << "[smtp]\nrecipients = 1\nerrors = 9\nlisten = [\"a:1\", \"b:2\"]\n[relay.routes]\na = \"h:1\"\n";
  std::ofstream(directory / "b.toml") << "[smtp]\nrecipients = 2\nlisten = [\"c:3\"]\n[relay.routes]\nb = \"h:2\"\n";
  const auto settings = load({directory / "a.toml", directory / "b.toml"});
  REQUIRE(settings);
  CHECK(settings->smtp.recipients == 2);
  CHECK(settings->smtp.errors == 9);
  CHECK(settings->smtp.listen == Endpoints{{"c", 3, ""}});
  CHECK(settings->relay.routes.size() == 2);
  const auto missing = load({directory / "none.toml"});
  REQUIRE_FALSE(missing);
  CHECK(to_string(missing.error().at(0)) == (directory / "none.toml") + ": cannot be read: No such file or directory");
}

TEST_CASE("the sample is a valid file, with and without its comment signs") {
  CHECK(problems_of(sample()).empty());
  std::string active = sample();
  active = replace_all(active, "\n#", "\n");
  std::string kept;
  for (const auto line : split(active, '\n'))
    if (!line.starts_with(" ") && !line.starts_with("#")) kept.append(line).append("\n");
  CHECK(problems_of(kept).empty());
}

TEST_CASE("sizes and durations print as they are read") {
  for (const auto* text : {"0", "1", "512kB", "64MB", "3GB", "1025"}) CHECK(print_octets(*parse_octets(text)) == text);
  for (const auto* text : {"0s", "1ms", "5s", "90s", "2m", "3h", "4d"})
    CHECK(print_duration(*parse_duration(text)) == text);
  for (const auto* text : {"", "x", "-1", "1x", "1 2", "99999999999999999999", "9999999999TB"})
    CHECK_FALSE(parse_octets(text));
  CHECK(parse_rate("60/1m") == Rate{.count = 60, .time = std::chrono::minutes(1)});
  for (const auto* text : {"", "60", "60/", "/1m", "0/1m", "60/0s", "-1/1m", "60/1m/1m"}) CHECK_FALSE(parse_rate(text));
  for (const auto* text : {"", "m", "5 apples", "1m x", "99999999999999999999s"}) CHECK_FALSE(parse_duration(text));
}

TEST_CASE("endpoints") {
  for (const auto* text :
       {"127.0.0.1:25", "[::1]:25", "*:25", "mail.example.org:587", "unix:/run/s", "mail.example.org"})
    CHECK(Endpoint::parse(text)->to_string() == text);
  CHECK(Endpoint::parse("::1")->host == "::1");
  for (const auto* text :
       {"", ":25", "a:", "a:b", "a:65536", "[::1]25", "[x]:25", "[::1", "unix:", "unix:x", "a b:25", "[::1]:"})
    CHECK_FALSE(Endpoint::parse(text));
}

TEST_CASE("addresses and prefixes") {
  CHECK(IpAddress::parse("::ffff:192.0.2.1")->to_string() == "192.0.2.1");
  CHECK(IpAddress::parse("192.0.2.1")->reversed() == "1.2.0.192.in-addr.arpa");
  CHECK(IpAddress::parse("2001:db8::1")->reversed("x") ==
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.x");
  CHECK(IpAddress::parse("2001:db8::1")->to_literal() == "[IPv6:2001:db8::1]");
  for (const auto* text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::1%eth0", "x", "1.2.3.4 "})
    CHECK_FALSE(IpAddress::parse(text));
  for (const auto* text : {"127.0.0.1", "10.1.1.1", "172.31.0.1", "::1", "fe80::1", "fd00::1", "255.255.255.255", "::"})
    CHECK(IpAddress::parse(text)->is_private());
  for (const auto* text : {"192.0.2.1", "172.32.0.1", "2001:db8::1"}) CHECK_FALSE(IpAddress::parse(text)->is_private());
  const auto prefix = *IpPrefix::parse("192.0.2.77/25");
  CHECK(prefix.to_string() == "192.0.2.0/25");
  CHECK(prefix.contains(*IpAddress::parse("192.0.2.127")));
  CHECK_FALSE(prefix.contains(*IpAddress::parse("192.0.2.128")));
  CHECK_FALSE(prefix.contains(*IpAddress::parse("::1")));
  CHECK(IpPrefix::parse("0.0.0.0/0")->contains(*IpAddress::parse("9.9.9.9")));
  CHECK(IpAddress::parse("2001:db8:1:2:3::")->masked(64).to_string() == "2001:db8:1:2::");
  for (const auto* text : {"192.0.2.0/33", "::/129", "192.0.2.0/", "192.0.2.0/-1", "/8"})
    CHECK_FALSE(IpPrefix::parse(text));
}

TEST_CASE("a file may include others, which are laid over it") {
  const test::TemporaryDirectory temporary;
  const auto write = [&](const char* name, const char* text) { std::ofstream(temporary / name) << text; };
  write("main.toml", "include = \"extra.toml\"\n[smtp]\nrecipients = 5\nerrors = 7\n");
  write("extra.toml", "[smtp]\nrecipients = 6\n");
  const auto settings = config::load({temporary / "main.toml"});
  REQUIRE(settings);
  CHECK(settings->smtp.recipients == 6);
  CHECK(settings->smtp.errors == 7);

  write("extra.toml", "[smtp]\nrecipient = 6\n");
  auto wrong = config::load({temporary / "main.toml"});
  REQUIRE_FALSE(wrong);
  CHECK(to_string(wrong.error().front()).find("extra.toml:2: unknown key smtp.recipient") != std::string::npos);

  write("extra.toml", "include = [\"main.toml\"]\n");
  wrong = config::load({temporary / "main.toml"});
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().front().message.find("nested too deep") != std::string::npos);

  write("main.toml", "include = [\"absent.toml\", 5]\n");
  wrong = config::load({temporary / "main.toml"});
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().size() == 2);
}
