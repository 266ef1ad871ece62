#include "mta/relay/mta_sts.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "mta/relay/http_answer.h"
#include "mta/relay/sts_policies.h"
#include "mta/relay/targets.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::relay;
using Mode = StsPolicy::Mode;

namespace {

constexpr auto kDay = std::chrono::hours(24);

StsPolicy policy(Mode mode, std::vector<std::string> mx, std::chrono::seconds age = 7 * kDay) {
  return {.mode = mode, .max_age = age, .mx = std::move(mx)};
}

/// What a relay knows of policies, with DNS from a table and no way to fetch one.
struct Known {
  test::TemporaryDirectory temporary;
  std::unique_ptr<net::Loop> loop = std::move(*net::Loop::open());
  net::TableResolver resolver{*loop};
  net::WorkerPool workers{1};
  ManualClock clock{WallTime(std::chrono::seconds(1'800'000'000))};
  config::Relay settings;
  StsCache cache{temporary / "mta-sts"};
  StsPolicies policies{{.loop = *loop,
                        .resolver = resolver,
                        .workers = workers,
                        .settings = settings,
                        .tls = {},
                        .directory = temporary / "mta-sts",
                        .clock = clock}};

  void record(const std::string& domain, std::vector<std::string> texts) {
    net::DnsAnswer answer;
    answer.texts = std::move(texts);
    resolver.add(net::DnsType::txt, "_mta-sts." + domain, std::move(answer));
  }
  void keep(const std::string& domain, StsPolicy kept, const std::string& id = "1") {
    REQUIRE(cache.store(domain, {std::move(kept), id, clock.now()}));
  }
  std::optional<StsPolicy> ask(const std::string& domain) {
    bool answered = false;
    std::optional<StsPolicy> found;
    const auto question =
        policies.ask(domain, [&](std::optional<StsPolicy> p) { answered = true, found = std::move(p); });
    CHECK_FALSE(answered);  // never from within the call
    for (int i = 0; i < 1000 && !answered; ++i) loop->run_once(std::chrono::milliseconds(10));
    CHECK(answered);
    return found;
  }
};

}  // namespace

TEST_CASE("the TXT record of a domain with a policy (RFC 8461 section 3.1)") {
  CHECK(sts_id({"v=STSv1; id=20160831085700Z;"}) == "20160831085700Z");
  CHECK(sts_id({"v=STSv1;id=1"}) == "1");
  CHECK(sts_id({"v=STSv1 ; id=1 ; x-y.z=a:b ;"}) == "1");
  CHECK(sts_id({"v=STSv1; id=1; id=2"}) == "1");  // the first counts
  CHECK(sts_id({"spf", "v=STSv2; id=7", "v=STSv1; id=1"}) == "1");
  for (const auto* bad : {"", "v=STSv1", "v=STSv1;", "v=STSv1; ID=1", "v=stsv1; id=1", "id=1; v=STSv1",
                          "v=STSv1; id=", "v=STSv1; id=a-b", "v=STSv1; id=123456789012345678901234567890123",
                          "v=STSv1; id=1; =x", "v=STSv1; id=1;; x=y", "v=STSv1; id=1; x=a b", " v=STSv1; id=1"})
    CHECK_FALSE(sts_id({bad}));
  CHECK_FALSE(sts_id({"v=STSv1; id=1", "v=STSv1; id=1"}));
  CHECK_FALSE(sts_id({}));
}

TEST_CASE("a policy (RFC 8461 section 3.2)") {
  const auto example = StsPolicy::parse(
      "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\n"
      "max_age: 604800\r\n");
  REQUIRE(example);
  CHECK(*example == policy(Mode::enforce, {"mail.example.com", "*.example.net", "backupmx.example.com"}));
  CHECK(*StsPolicy::parse(example->text()) == *example);
  // Section 4.1: a wildcard is one whole label.
  CHECK(example->names("Mail.Example.com"));
  CHECK(example->names("mx.example.net"));
  CHECK_FALSE(example->names("example.net"));
  CHECK_FALSE(example->names("a.mx.example.net"));
  CHECK_FALSE(example->names("other.example.com"));
  const auto odd = StsPolicy::parse(
      "x-new:  anything: at all  \nmax_age:0 \nmax_age: 5\n\nmode:testing\nversion:STSv1\nmode: none\nmx:A.b");
  REQUIRE(odd);
  CHECK(*odd == policy(Mode::testing, {"a.b"}, std::chrono::seconds(0)));
  CHECK(StsPolicy::parse("version: STSv1\nmode: none\nmax_age: 9999999999\n")->max_age ==
        std::chrono::seconds(31557600));
  const std::string good = "version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 1\n";
  REQUIRE(StsPolicy::parse(good));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{{"version: STSv1\n", ""},
                                                                                 {"STSv1", "STSv2"},
                                                                                 {"mode: enforce\n", ""},
                                                                                 {"enforce", "Enforce"},
                                                                                 {"max_age: 1\n", ""},
                                                                                 {"max_age: 1", "max_age: -1"},
                                                                                 {"max_age: 1", "max_age: 10000000000"},
                                                                                 {"mx: a.b\n", ""},
                                                                                 {"mx: a.b", "mx: *"},
                                                                                 {"mx: a.b", "mx: a.*.b"},
                                                                                 {"mx: a.b", "mx: a..b"},
                                                                                 {"mx: a.b", "mx: [192.0.2.1]"},
                                                                                 {"mx: a.b", "mx a.b"},
                                                                                 {"mx: a.b", "mx: \xff"}})
    CHECK_FALSE(StsPolicy::parse(replace_all(good, from, to)));
  CHECK_FALSE(StsPolicy::parse(good + "x: " + std::string(kMostStsOctets, 'x')));
}

TEST_CASE("the answer to a GET, however it is split") {
  const auto outcome = [](const std::string& octets) {
    std::string words;
    for (const std::size_t step : {octets.size(), std::size_t{1}}) {
      HttpAnswer answer(10);
      for (std::size_t at = 0; at < octets.size(); at += step)
        answer.receive(std::string_view(octets).substr(at, step));
      if (answer.state() == HttpAnswer::State::more) answer.ended();
      const auto text = answer.state() == HttpAnswer::State::done
                            ? concat({decimal(answer.status()), " ", answer.media_type(), " ", answer.body()})
                            : std::string(answer.why());
      CHECK((words.empty() || words == text));
      words = text;
    }
    return words;
  };
  const std::string plain = "Content-Type: Text/Plain; charset=utf-8\r\n";
  CHECK(outcome("HTTP/1.1 200 OK\r\n" + plain + "Content-Length: 3\r\n\r\nabcd") == "200 text/plain abc");
  CHECK(outcome("HTTP/1.1 200\n" + plain + "\nto end") == "200 text/plain to end");
  CHECK(outcome("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + plain +
                "\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n") == "200 text/plain abc");
  CHECK(outcome("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\n\r\n") == "404  ");
  CHECK(outcome("HTTP/1.1 301 Moved\r\nLocation: https://x/\r\n\r\n") == "301  ");
  CHECK(outcome("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc") == "cut short");
  CHECK(outcome("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n") == "cut short");
  CHECK(outcome("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n") == "a longer body than is read");
  CHECK(outcome("HTTP/1.1 200 OK\r\n\r\n12345678901") == "a longer body than is read");
  CHECK(outcome("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n6\r\n123456\r\n") ==
        "a longer body than is read");
  CHECK(outcome("HTTP/1.1 200 OK\r\nX: " + std::string(40000, 'x')) == "a longer header than is read");
  for (const auto* bad :
       {"SSH-2.0\r\n", "HTTP/2 200\r\n", "HTTP/1.1 20x\r\n", "HTTP/1.1 200 OK\r\nno field\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"})
    CHECK(outcome(bad) == "not HTTP/1.1");
  CHECK(outcome("HTTP/1.1 200 OK") == "cut short");
}

TEST_CASE("a kept policy holds for its time, whatever the record says, unless a new one comes (RFC 8461 section 5.1)") {
  Known known;
  const auto enforce = policy(Mode::enforce, {"mx.example.org"});
  CHECK_FALSE(known.ask("example.org"));
  known.keep("example.org", enforce);
  CHECK(known.ask("Example.ORG") == enforce);
  known.record("example.org", {"v=STSv1; id=1"});
  CHECK(known.ask("example.org") == enforce);
  known.keep("other.example", enforce, "2");
  known.record("other.example", {"v=STSv1; id=3"});  // it cannot be fetched
  CHECK(known.ask("other.example") == enforce);
  known.keep("gone.example", policy(Mode::none, {}));
  CHECK_FALSE(known.ask("gone.example"));
  known.clock.advance(6 * kDay);
  CHECK(known.ask("example.org") == enforce);
  known.clock.advance(2 * kDay);
  CHECK_FALSE(known.ask("example.org"));
  for (const auto* name : {"[192.0.2.1]", "../example.org", ".example.org", "a/b", ""}) CHECK_FALSE(known.ask(name));
}

TEST_CASE("kept policies that are over or damaged are swept away") {
  Known known;
  const auto files = [&] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(known.temporary / "mta-sts")) ++count;
    return count;
  };
  known.keep("short.example", policy(Mode::enforce, {"a.b"}, kDay));
  known.keep("long.example", policy(Mode::enforce, {"a.b"}));
  std::ofstream(known.temporary / "mta-sts/damaged.example") << "id: 1\nfetched: 18";
  const auto in_use = known.temporary / "mta-sts/~writing", left = known.temporary / "mta-sts/~left";
  for (const auto& file : {in_use, left}) std::ofstream(file) << "id: 1\n";
  std::filesystem::last_write_time(left, std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  CHECK(files() == 5);
  CHECK_FALSE(known.ask("damaged.example"));
  known.clock.advance(2 * kDay);
  known.cache.sweep(known.clock.now());
  CHECK(files() == 2);
  CHECK(known.cache.load("long.example"));
  CHECK(std::filesystem::exists(in_use));  // somebody may be writing it
}

TEST_CASE("hosts that a policy does not name are passed over; REQUIRETLS wants names that are certain") {
  Known known;
  known.settings.ipv6 = false;
  const auto zone = [&](const std::string& domain, bool authentic) {
    net::DnsAnswer mx;
    mx.mx = {{10, "a." + domain}, {20, "b." + domain}};
    mx.authentic = authentic;
    known.resolver.add(net::DnsType::mx, domain, mx);
    for (const auto* host : {"a.", "b."}) {
      net::DnsAnswer address;
      address.addresses = {*IpAddress::parse("192.0.2.1")};
      known.resolver.add(net::DnsType::a, host + domain, address);
    }
  };
  const auto words = [&](const NextHop& hop) {
    std::optional<Targets> found;
    const TargetRules rules{
        .own_name = "us.example", .own_addresses = {}, .private_targets = false, .sts = &known.policies};
    const TargetLookup lookup(*known.loop, known.resolver, hop, rules,
                              [&](Targets targets) { found = std::move(targets); });
    for (int i = 0; i < 1000 && !found; ++i) known.loop->run_once(std::chrono::milliseconds(10));
    REQUIRE(found);
    if (!*found) return found->error().line().substr(0, 9);
    std::string text;
    for (const auto& h : **found)
      text += concat({h.host_name.substr(0, 1), "=", to_string(h.sts), h.authentic ? "! " : " "});
    return text;
  };
  const auto plain = [&](const std::string& domain) { return next_hop(known.settings, {domain}); };
  zone("one.example", false);
  CHECK(words(plain("one.example")) == "a=none b=none ");
  CHECK(words(with_requiretls(plain("one.example"))) == "550 5.7.1");
  known.keep("one.example", policy(Mode::enforce, {"b.one.example"}));
  CHECK(words(plain("one.example")) == "b=enforce! ");
  CHECK(words(with_requiretls(plain("one.example"))) == "b=enforce! ");
  CHECK(words(without_tls_policy(plain("one.example"))) == "a=none b=none ");
  known.keep("one.example", policy(Mode::testing, {"b.one.example"}));
  CHECK(words(plain("one.example")) == "a=none b=testing! ");
  CHECK(words(with_requiretls(plain("one.example"))) == "b=testing! ");
  known.keep("one.example", policy(Mode::enforce, {"c.one.example"}));
  CHECK(words(plain("one.example")) == "451 4.7.5");
  known.settings.mta_sts = false;
  CHECK(words(plain("one.example")) == "a=none b=none ");
  known.settings.mta_sts = true;
  zone("two.example", true);
  CHECK(words(with_requiretls(plain("two.example"))) == "a=none! b=none! ");
  const auto hop = with_requiretls(plain("two.example"));
  CHECK((hop.key == "two.example (REQUIRETLS)" && hop.name() == "two.example" && hop.tls == TlsMode::required));
}
