// CaresResolver against a real name server: BIND on an ephemeral port of loopback, where it is installed.
#include "net/resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>

#include "base/strings.h"
#include "tests/net/pair.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::test;

namespace {

/// A port that nobody has, by UDP and by TCP. Below the range that outgoing connections take theirs from: one of
/// another test could take it before the name server does.
std::uint16_t free_port() {
  std::random_device random;
  std::uniform_int_distribution<std::uint16_t> ports(12000, 32000);
  for (int i = 0; i < 100; ++i) {
    const auto port = ports(random);
    sockaddr_storage storage{};
    const auto octets = SocketAddress{*IpAddress::parse("127.0.0.1"), port, {}}.to(storage);
    const auto bound = [&](int type) {
      const UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
      return bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0;
    };
    if (bound(SOCK_DGRAM) && bound(SOCK_STREAM)) return port;
  }
  FAIL("no free port");
  return 0;
}

class Named {
 public:
  static bool installed() { return access("/usr/sbin/named", X_OK) == 0; }
  explicit Named(const std::string& zone) : port(free_port()) {
    const auto path = [&](const char* file) { return directory_ / file; };
    std::ofstream(path("named.conf"))
        << "options { directory \"" << directory_.path().string() << "\"; listen-on port " << port
        << " { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; pid-file none; "
           "session-keyfile none; max-records-per-type 0; minimal-responses yes; notify no; };\n"
           "controls { };\n"
           "zone \"example.test\" { type primary; file \"zone\"; };\n"
           "zone \"2.0.192.in-addr.arpa\" { type primary; file \"reverse\"; };\n";
    const std::string start =
        "$TTL 300\n@ IN SOA ns.example.test. root.example.test. 1 3600 600 86400 60\n@ IN NS ns.example.test.\n";
    std::ofstream(path("zone")) << start << "ns IN A 127.0.0.1\n" << zone;
    std::ofstream(path("reverse")) << start << "1 IN PTR host.example.test.\n";
    pid_ = fork();
    if (pid_ == 0) {
      const int log = open(path("log").c_str(), O_WRONLY | O_CREAT, 0600);
      dup2(log, 1);
      dup2(log, 2);
      execl("/usr/sbin/named", "named", "-g", "-n", "1", "-c", path("named.conf").c_str(), nullptr);
      _exit(127);
    }
    wait_for_port();
  }
  ~Named() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::uint16_t port;
  std::string log() const { return test::read_path(directory_.path() / "log"); }

 private:
  void wait_for_port() const {
    for (int i = 0; i < 500; ++i) {
      const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_storage storage{};
      const auto octets = SocketAddress{*IpAddress::parse("127.0.0.1"), port, {}}.to(storage);
      const bool listens = connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0;
      if (listens && log().find(" running\n") != std::string::npos) return;
      std::this_thread::sleep_for(10ms);
    }
    FAIL("named did not start: " + log());
  }
  test::TemporaryDirectory directory_;
  pid_t pid_ = -1;
};

struct Asking {
  std::unique_ptr<Loop> loop = std::move(*Loop::open());
  std::unique_ptr<CaresResolver> resolver;
  explicit Asking(std::uint16_t port, std::chrono::milliseconds timeout = 2s, unsigned tries = 2) {
    config::Dns settings;
    settings.servers = {{"127.0.0.1", port, ""}};
    settings.timeout = timeout;
    settings.tries = tries;
    resolver = std::move(*CaresResolver::open(*loop, settings));
  }
  DnsResult ask(DnsType type, std::string_view name) {
    std::optional<DnsResult> answer;
    const auto query = resolver->ask(type, name, [&](DnsResult result) { answer = std::move(result); });
    CHECK_FALSE(answer);
    run_until(*loop, [&] { return answer.has_value(); });
    return std::move(*answer);
  }
};

}  // namespace

TEST_CASE("questions to a real name server") {
  if (!Named::installed()) {
    std::cerr << "SKIPPED: bind9 is not installed: no test of the resolver against a server\n";
    return;
  }
  std::string zone =
      "@ IN MX 20 mx2\n@ IN MX 10 mx1\n@ IN A 192.0.2.1\n@ IN AAAA 2001:db8::1\n@ IN TXT \"v=spf1 \" \"-all\"\n"
      "alias IN CNAME alias2\nalias2 IN CNAME @\n_25._tcp.mx1 IN TLSA 3 1 1 " +
      std::string(64, 'a') + "\nlone IN TXT \"only\"\n";
  for (int i = 0; i < 600; ++i)
    zone += "many IN MX " + std::to_string(i) + " host-with-a-long-name-" + std::to_string(i) + "\n";
  const Named named(zone);
  Asking asking(named.port);

  const auto mx = asking.ask(DnsType::mx, "Example.TEST");
  INFO((mx ? "" : mx.error().text + named.log()));
  REQUIRE(mx);
  CHECK(mx->mx == std::vector<MxRecord>{{10, "mx1.example.test"}, {20, "mx2.example.test"}});
  CHECK_FALSE(mx->authentic);
  CHECK(mx->ttl == 300s);
  CHECK(asking.ask(DnsType::a, "alias.example.test")->canonical_name == "example.test");
  CHECK(asking.ask(DnsType::a, "alias.example.test")->addresses.at(0).to_string() == "192.0.2.1");
  CHECK(asking.ask(DnsType::aaaa, "example.test.")->addresses.at(0).to_string() == "2001:db8::1");
  CHECK(asking.ask(DnsType::txt, "example.test")->texts == std::vector<std::string>{"v=spf1 -all"});
  CHECK(asking.ask(DnsType::tlsa, "_25._tcp.mx1.example.test")->tlsa.at(0).data.size() == 32);
  CHECK(asking.ask(DnsType::ptr, IpAddress::parse("192.0.2.1")->reversed())->texts.at(0) == "host.example.test");

  const auto unknown = asking.ask(DnsType::a, "nothing.example.test");
  REQUIRE_FALSE(unknown);
  CHECK(nxdomain(unknown.error()));
  const auto no_record = asking.ask(DnsType::mx, "lone.example.test");
  REQUIRE_FALSE(no_record);
  CHECK(no_record.error().kind == Error::Kind::not_found);
  CHECK_FALSE(nxdomain(no_record.error()));
  const auto refused = asking.ask(DnsType::a, "example.com");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == Error::Kind::temporary);
  CHECK(asking.ask(DnsType::a, "not a name").error().kind == Error::Kind::permanent);

  SECTION("an answer too long for UDP comes over TCP") {
    const auto many = asking.ask(DnsType::mx, "many.example.test");
    REQUIRE(many);
    CHECK(many->mx.size() == 600);
  }
  SECTION("many questions at once, some forgotten") {
    int answered = 0;
    std::vector<std::unique_ptr<Resolver::Query>> queries;
    for (int i = 0; i < 200; ++i)
      queries.push_back(
          asking.resolver->ask(DnsType::a, "example.test", [&](DnsResult result) { answered += result ? 1 : 0; }));
    for (std::size_t i = 0; i < 100; ++i) queries[i].reset();
    run_until(*asking.loop, [&] { return answered == 100; });
    run_for(*asking.loop, 20ms);
    CHECK(answered == 100);
  }
  SECTION("the resolver may go in the callback of its own question") {
    bool called = false;
    const auto query = asking.resolver->ask(DnsType::a, "example.test", [&](const DnsResult&) {
      asking.resolver.reset();
      called = true;
    });
    run_until(*asking.loop, [&] { return called; });
  }
  SECTION("the resolver may go with questions open") {
    const auto query = asking.resolver->ask(DnsType::a, "example.test", [](const DnsResult&) { FAIL("called"); });
    asking.resolver.reset();
    run_for(*asking.loop, 20ms);
  }
}

TEST_CASE("a server that does not answer, and one that is not there") {
  SECTION("silent") {
    const UniqueFd silent(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage{};
    const auto octets = SocketAddress{*IpAddress::parse("127.0.0.1"), 0, {}}.to(storage);
    REQUIRE(bind(silent.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0);
    Asking asking(local_address(silent.get()).port, 50ms);
    const auto answer = asking.ask(DnsType::mx, "example.test");
    REQUIRE_FALSE(answer);
    CHECK(answer.error().kind == Error::Kind::temporary);
  }
  SECTION("not there") {
    Asking asking(free_port(), 50ms);
    const auto answer = asking.ask(DnsType::mx, "example.test");
    REQUIRE_FALSE(answer);
    CHECK(answer.error().kind == Error::Kind::temporary);
  }
}

TEST_CASE("answers made up for tests") {
  auto loop = std::move(*Loop::open());
  TableResolver table(*loop);
  DnsAnswer answer;
  answer.mx = {{10, "mx.example.test"}};
  table.add(DnsType::mx, "example.test", answer);
  table.add_error(DnsType::mx, "slow.test", {Error::Kind::temporary, "timeout", 0});
  std::vector<DnsResult> results;
  std::vector<std::unique_ptr<Resolver::Query>> queries;
  for (const auto* name : {"Example.test.", "slow.test", "none.test"})
    queries.push_back(table.ask(DnsType::mx, name, [&](DnsResult result) { results.push_back(std::move(result)); }));
  queries.push_back(
      table.ask(DnsType::a, "example.test", [&](DnsResult result) { results.push_back(std::move(result)); }));
  CHECK(results.empty());
  run_until(*loop, [&] { return results.size() == 4; });
  CHECK(results[0]->mx.size() == 1);
  CHECK(results[1].error().kind == Error::Kind::temporary);
  CHECK(nxdomain(results[2].error()));
  CHECK(results[3].error().kind == Error::Kind::not_found);
  CHECK_FALSE(nxdomain(results[3].error()));
}
