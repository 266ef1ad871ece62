#include "mta/relay/targets.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

using namespace mail;
using namespace mail::relay;
using net::DnsType;

namespace {

struct Zone {
  std::unique_ptr<net::Loop> loop = std::move(*net::Loop::open());
  net::TableResolver resolver{*loop};
  TargetRules rules{
      .own_name = "mail.example.test", .own_addresses = {*IpAddress::parse("192.0.2.99")}, .private_targets = false};
  config::Relay relay;

  void mx(std::string_view domain, std::vector<net::MxRecord> records) {
    net::DnsAnswer answer;
    answer.mx = std::move(records);
    resolver.add(DnsType::mx, domain, std::move(answer));
  }
  void address(std::string_view name, std::string_view text) {
    net::DnsAnswer answer;
    answer.addresses = {*IpAddress::parse(text)};
    const auto type = answer.addresses.front().is_v4() ? DnsType::a : DnsType::aaaa;
    resolver.add(type, name, std::move(answer));
  }
  Targets look_up(NextHop hop) {
    std::optional<Targets> found;
    TargetLookup lookup(*loop, resolver, std::move(hop), rules, [&](Targets targets) { found = std::move(targets); });
    CHECK_FALSE(found);  // never from within the constructor
    for (int i = 0; i < 100 && !found; ++i) loop->run_once(std::chrono::milliseconds(10));
    REQUIRE(found);
    return *found;
  }
  Targets look_up(std::string_view domain) { return look_up(next_hop(relay, {std::string(domain)})); }
  std::string in_words(std::string_view domain) {
    const auto targets = look_up(domain);
    if (!targets) return targets.error().line();
    std::string words;
    for (const auto& host : *targets)
      words += (words.empty() ? "" : " ") + host.host_name + "=" + host.address.to_string();
    return words;
  }
};

}  // namespace

TEST_CASE("hosts come in the order of preference, IPv6 first (RFC 5321 section 5.1)") {
  Zone zone;
  zone.mx("example.org", {{20, "b.example.org"}, {10, "a.example.org"}});
  zone.address("a.example.org", "192.0.2.1");
  zone.address("a.example.org", "2001:db8::1");
  zone.address("b.example.org", "192.0.2.2");
  CHECK(zone.in_words("example.org") ==
        "a.example.org=[2001:db8::1]:25 a.example.org=192.0.2.1:25 b.example.org=192.0.2.2:25");
  zone.relay.ipv6 = false;
  CHECK(zone.in_words("example.org") == "a.example.org=192.0.2.1:25 b.example.org=192.0.2.2:25");
  zone.relay.ipv6 = true;
  zone.relay.address_family = "ipv4";
  CHECK(zone.in_words("example.org") ==
        "a.example.org=192.0.2.1:25 a.example.org=[2001:db8::1]:25 b.example.org=192.0.2.2:25");
  zone.relay.address_family = "ipv6-only";
  CHECK(zone.in_words("example.org") == "a.example.org=[2001:db8::1]:25");
}

TEST_CASE("a domain without MX is its own host") {
  Zone zone;
  zone.resolver.add_error(DnsType::mx, "plain.example", {Error::Kind::not_found, "plain.example has no MX record", 0});
  zone.address("plain.example", "192.0.2.5");
  CHECK(zone.in_words("plain.example") == "plain.example=192.0.2.5:25");
}

TEST_CASE("what cannot be reached is said with its class") {
  Zone zone;
  CHECK(zone.in_words("nowhere.example") == "550 5.1.2 The domain nowhere.example does not exist");
  zone.resolver.add_error(DnsType::mx, "lame.example", {Error::Kind::temporary, "lame.example: SERVFAIL", 0});
  CHECK(zone.in_words("lame.example").starts_with("451 4.4.3 "));
  zone.mx("null.example", {{0, ""}});
  CHECK(zone.in_words("null.example").starts_with("556 5.1.10 "));
  zone.mx("loop.example", {{10, "mail.example.test"}});
  zone.address("mail.example.test", "192.0.2.99");
  CHECK(zone.in_words("loop.example").starts_with("550 5.4.6 "));
  zone.mx("inside.example", {{10, "inside.example"}});
  zone.address("inside.example", "127.0.0.1");
  CHECK(zone.in_words("inside.example").starts_with("550 5.4.4 "));
  zone.mx("dangling.example", {{10, "gone.example"}});
  CHECK(zone.in_words("dangling.example").starts_with("550 5.4.4 "));
  zone.mx("slow.example", {{10, "slow-host.example"}});
  zone.resolver.add_error(DnsType::a, "slow-host.example", {Error::Kind::temporary, "timeout", 0});
  CHECK(zone.in_words("slow.example").starts_with("451 4.4.3 "));
}

TEST_CASE("where we are an MX ourselves only better ones are tried") {
  Zone zone;
  zone.mx("backup.example", {{5, "best.example"}, {10, "us.example"}, {20, "worse.example"}});
  zone.address("best.example", "192.0.2.1");
  zone.address("us.example", "192.0.2.99");
  zone.address("worse.example", "192.0.2.3");
  CHECK(zone.in_words("backup.example") == "best.example=192.0.2.1:25");
}

TEST_CASE("a thousand MX cost no more than a few") {
  Zone zone;
  std::vector<net::MxRecord> many;
  for (std::uint16_t i = 0; i < 1000; ++i) {
    many.push_back({i, "m" + std::to_string(i) + ".example"});
    zone.address(many.back().exchange, "192.0.2.1");
  }
  zone.mx("many.example", many);
  const auto targets = zone.look_up("many.example");
  REQUIRE(targets);
  CHECK(targets->size() == kMostMxHosts);
  CHECK(targets->front().host_name == "m0.example");
}

TEST_CASE("TLSA records of hosts whose names and addresses are authentic (RFC 7672 section 2.2)") {
  Zone zone;
  bool authentic = true;
  const auto host = [&](const std::string& name, const std::string& ip, const std::string& canonical = {}) {
    net::DnsAnswer answer;
    answer.addresses = {*IpAddress::parse(ip)};
    answer.authentic = authentic;
    answer.canonical_name = canonical.empty() ? name : canonical;
    zone.resolver.add(DnsType::a, name, std::move(answer));
  };
  const auto mx = [&](const std::string& domain, std::vector<net::MxRecord> records) {
    net::DnsAnswer answer;
    answer.mx = std::move(records);
    answer.authentic = authentic;
    zone.resolver.add(DnsType::mx, domain, std::move(answer));
  };
  const auto tlsa = [&](const std::string& base, std::vector<net::TlsaRecord> records) {
    net::DnsAnswer answer;
    answer.tlsa = std::move(records);
    answer.authentic = authentic;
    zone.resolver.add(DnsType::tlsa, "_25._tcp." + base, std::move(answer));
  };
  const auto words = [&](const std::string& domain) {
    const auto targets = zone.look_up(domain);
    if (!targets) return targets.error().line();
    std::string text;
    for (const auto& h : *targets)
      text +=
          concat({h.host_name, "=", h.dane ? concat({h.dane->base, ":", decimal(h.dane->records.size())}) : "-", " "});
    return text;
  };
  zone.relay.ipv6 = false;
  const net::TlsaRecord end_entity{3, 1, 1, std::string(32, 'x')}, pkix{1, 1, 1, std::string(32, 'x')};
  mx("safe.example", {{10, "a.example"}, {20, "b.example"}, {30, "c.example"}, {40, "d.example"}});
  host("a.example", "192.0.2.1");
  tlsa("a.example", {end_entity, pkix});
  host("b.example", "192.0.2.2");  // without TLSA
  host("c.example", "192.0.2.3");
  tlsa("c.example", {pkix});
  host("d.example", "192.0.2.4");  // what it asks for cannot be known: it is passed over
  zone.resolver.add_error(DnsType::tlsa, "_25._tcp.d.example",
                          Error{Error::Kind::temporary, "TLSA d.example: silence", 0});
  CHECK(words("safe.example") == "a.example=a.example:1 b.example=- c.example=c.example:0 ");
  mx("dark.example", {{10, "d.example"}});
  CHECK(words("dark.example") == "451 4.4.3 TLSA d.example: silence");
  // At the end of the CNAMEs, else at their beginning.
  mx("alias.example", {{10, "e.example"}, {20, "f.example"}});
  host("e.example", "192.0.2.5", "real.example");
  tlsa("real.example", {end_entity});
  tlsa("e.example", {pkix});
  host("f.example", "192.0.2.6", "plain.example");
  tlsa("f.example", {end_entity});
  CHECK(words("alias.example") == "e.example=real.example:1 f.example=f.example:1 ");
  zone.relay.dane = false;
  CHECK(words("alias.example") == "e.example=- f.example=- ");
  zone.relay.dane = true;
  zone.relay.tls = "none";
  CHECK(words("alias.example") == "e.example=- f.example=- ");
  zone.relay.tls = "opportunistic";
  authentic = false;
  mx("forged.example", {{10, "a.example"}});
  CHECK(words("forged.example") == "a.example=- ");
  host("g.example", "192.0.2.7");
  authentic = true;
  mx("loose.example", {{10, "g.example"}});
  tlsa("g.example", {end_entity});
  CHECK(words("loose.example") == "g.example=- ");
  // TLS-Required: No asks for none, in a queue of its own.
  const auto hop = without_tls_policy(next_hop(zone.relay, {"safe.example"}));
  CHECK(hop.key == "safe.example (TLS-Required: No)");
  const auto targets = zone.look_up(hop);
  REQUIRE(targets);
  CHECK(targets->front().dane == nullptr);
}

TEST_CASE("a transport becomes the next hop") {
  config::Relay settings;
  const auto hop = [&](std::string_view transport) {
    const auto parsed = config::Transport::parse(transport);
    REQUIRE(parsed);
    return next_hop(settings, {"example.org", std::make_shared<const config::Transport>(*parsed)});
  };
  const auto routed = hop("127.0.0.1:2525");
  CHECK((routed.host == "127.0.0.1" && routed.port == 2525 && !routed.by_mx && !routed.authenticate()));
  CHECK(routed.key == "127.0.0.1:2525");
  const auto unix_socket = hop("lmtp:unix:/run/lmtp");
  CHECK((unix_socket.unix_path == "/run/lmtp" && unix_socket.lmtp));
  const auto smart = hop("smtp:smart.example:587 tls=required auth=ann password_file=/etc/pw family=ipv4-only");
  CHECK((smart.host == "smart.example" && smart.port == 587 && smart.authenticate()));
  CHECK((smart.tls == TlsMode::required && smart.family == Family::ipv4_only));
  const auto other = hop("mx:example.com");
  CHECK((other.by_mx && other.host == "example.com" && other.key == "example.com"));
  const auto bound = hop("mx: source=192.0.2.7");
  CHECK((bound.by_mx && bound.host == "example.org" && bound.key == "example.org (mx: source=192.0.2.7)"));
  CHECK(next_hop(settings, {"example.com"}).by_mx);
  CHECK_FALSE(next_hop(settings, {"[192.0.2.1]"}).by_mx);
  Zone zone;
  CHECK(zone.in_words("[192.0.2.1]") == "[192.0.2.1]=192.0.2.1:25");
  CHECK(zone.look_up(routed)->front().address.to_string() == "127.0.0.1:2525");
}
