// The policy hooks: lists, rates, greylisting, what DNS says, and a policy server, each alone and then together.
#include "mta/serve/policy/policy.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "mta/serve/policy/access.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::mta;
using namespace std::chrono_literals;

namespace {

template <class Condition>
void run_until(net::Loop& loop, Condition condition) {
  const auto limit = std::chrono::steady_clock::now() + 5s;
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() < limit);
    loop.run_once(10ms);
  }
}

net::DnsAnswer addresses(std::initializer_list<const char*> texts) {
  net::DnsAnswer answer;
  for (const auto* text : texts) answer.addresses.push_back(*IpAddress::parse(text));
  return answer;
}
net::DnsAnswer texts(std::initializer_list<const char*> all) {
  net::DnsAnswer answer;
  answer.texts.assign(all.begin(), all.end());
  return answer;
}

/// One client's conversation with the policy.
struct Bench {
  std::unique_ptr<net::Loop> loop = std::move(*net::Loop::open());
  net::WorkerPool workers{1};
  net::TableResolver resolver{*loop};
  ManualClock clock{WallTime(std::chrono::hours(24 * 365 * 50))};
  config::Settings settings;
  std::unique_ptr<Policy> policy;
  std::unique_ptr<ClientPolicy> client;
  ClientPolicy::Question question;

  void open(const char* address = "192.0.2.1") {
    if (!policy) {
      auto opened = Policy::open(settings, workers, clock);
      INFO((opened ? "" : opened.error().text));
      REQUIRE(opened);
      policy = std::move(*opened);
    }
    client = std::make_unique<ClientPolicy>(*policy, *loop, resolver,
                                            net::SocketAddress{*IpAddress::parse(address), 1000, {}});
  }
  /// "" where the stage lets the client pass, else the reply.
  std::string ask(void (ClientPolicy::*stage)(const ClientPolicy::Question&, const ClientPolicy::Callback&)) {
    std::optional<ClientPolicy::Answer> answer;
    ((*client).*stage)(question, [&](ClientPolicy::Answer got) { answer = std::move(got); });
    run_until(*loop, [&] { return answer.has_value(); });
    return *answer ? (*answer)->line() : std::string();
  }
  std::string connected() {
    const auto answer = client->connected();
    return answer ? answer->line() : std::string();
  }
  std::string hello(const std::string& name) {
    question.helo = name;
    return ask(&ClientPolicy::hello);
  }
  std::string sender(const std::string& address = "ann@example.net") {
    question.sender = address;
    return ask(&ClientPolicy::sender);
  }
  std::string recipient(const std::string& address = "bob@example.test") {
    question.recipient = address;
    return ask(&ClientPolicy::recipient);
  }
};

}  // namespace

TEST_CASE("patterns of addresses and names") {
  const config::Strings patterns{"ann@example.net", "example.org", ".example.com", "root@", "<>"};
  for (const auto* address : {"Ann@Example.NET", "x@example.org", "x@mail.example.com", "root@anything.test", ""})
    CHECK(address_matches(patterns, address));
  for (const auto* address :
       {"bob@example.net", "x@mail.example.org", "x@example.com", "toor@x.test", "example.org", "x"})
    CHECK_FALSE(address_matches(patterns, address));
  for (const auto* name : {"mail.example.org", "mail.example.org.", "[192.0.2.1]", "a-b.c_d.test"})
    CHECK(is_full_name(name));
  for (const auto* name : {"", "localhost", "192.0.2.1", "a..b", "-a.test", "a b.test", "."})
    CHECK_FALSE(is_full_name(name));
}

TEST_CASE("rates slide over their window") {
  ManualClock clock{WallTime(1h)};
  Rates rates(60s, clock);
  for (int i = 0; i < 10; ++i) CHECK(rates.allow("a", 1, 10));
  CHECK_FALSE(rates.allow("a", 1, 10));
  CHECK(rates.allow("b", 10, 10));
  CHECK(rates.allow("a", 1, 0));
  clock.advance(90s);  // half of the window before still counts
  CHECK(rates.allow("a", 5, 10));
  CHECK_FALSE(rates.allow("a", 1, 10));
  CHECK(rates.names() == 2);
  clock.advance(180s);
  CHECK(rates.allow("a", 10, 10));
  CHECK(rates.names() == 1);
}

TEST_CASE("greylisting: wait, then pass; what is old is forgotten") {
  const test::TemporaryDirectory directory;
  ManualClock clock{WallTime(std::chrono::hours(24 * 365 * 50))};
  const auto open = [&] { return *Greylist::open(directory / "g", {300s, 3600s, 86400s}, clock); };
  auto list = open();
  const auto client = *IpAddress::parse("192.0.2.1");
  CHECK(*list->check(client, "a@x", "b@y") == 300s);
  clock.advance(100s);
  CHECK(*list->check(client, "A@x", "b@Y") == 200s);
  clock.advance(200s);
  list = open();  // it survives the process
  CHECK(*list->check(*IpAddress::parse("192.0.2.77"), "a@x", "b@y") == 0s);
  CHECK(*list->check(client, "other@x", "b@y") == 300s);
  CHECK(*list->check(*IpAddress::parse("198.51.100.1"), "a@x", "b@y") == 300s);
  clock.advance(2h);
  CHECK(*list->check(client, "a@x", "b@y") == 0s);
  CHECK(*list->check(client, "other@x", "b@y") == 300s);  // came back too late
  clock.advance(48h);
  CHECK(*list->check(client, "a@x", "b@y") == 300s);
  CHECK(list->sweep());
  CHECK_FALSE(Greylist::open("/nonexistent/g", {}, clock));
}

TEST_CASE("allow and deny lists, in their order") {
  Bench bench;
  bench.settings.policy.deny_clients = {*IpPrefix::parse("192.0.2.0/24")};
  bench.settings.policy.allow_clients = {*IpPrefix::parse("192.0.2.9")};
  bench.settings.policy.deny_senders = {"spam.example"};
  bench.settings.policy.deny_recipients = {"all@example.test"};
  bench.settings.policy.deny_helo = {".dynamic.example"};
  bench.open("192.0.2.1");
  CHECK(bench.connected() == "554 5.7.1 No mail is taken from your address");
  bench.open("192.0.2.9");
  CHECK(bench.connected().empty());
  CHECK(bench.sender("x@spam.example").empty());
  bench.open("198.51.100.1");
  CHECK(bench.connected().empty());
  CHECK(bench.hello("a.dynamic.example").starts_with("550 5.7.1"));
  CHECK(bench.sender("x@spam.example").starts_with("550 5.7.1"));
  CHECK(bench.sender().empty());
  CHECK(bench.recipient("all@example.test").starts_with("550 5.7.1"));
  CHECK(bench.recipient().empty());
  bench.question.trusted = true;
  CHECK(bench.recipient("all@example.test").empty());
}

TEST_CASE("rates of clients and accounts") {
  Bench bench;
  bench.settings.policy.client_connections = 2;
  bench.settings.policy.client_messages = 1;
  bench.settings.policy.user_messages = 2;
  bench.settings.policy.user_recipients = 3;
  bench.open();
  CHECK(bench.connected().empty());
  CHECK(bench.sender().empty());
  CHECK(bench.sender().starts_with("450 4.7.1"));
  bench.open();
  CHECK(bench.connected().empty());
  bench.open();
  CHECK(bench.connected().starts_with("421 4.7.0"));
  bench.question.user = "ann";
  bench.question.trusted = true;
  CHECK(bench.sender().empty());
  CHECK(bench.sender().empty());
  CHECK(bench.sender().starts_with("450 4.7.1"));
  for (int i = 0; i < 3; ++i) CHECK(bench.recipient().empty());
  CHECK(bench.recipient().starts_with("450 4.7.1"));
}

TEST_CASE("block lists refuse, allow lists spare, and only 127/8 is an answer") {
  Bench bench;
  bench.settings.policy.dnsbl = {"bl.test", "picky.test=127.0.0.4", "parked.test"};
  bench.settings.policy.dnswl = {"wl.test"};
  bench.resolver.add(net::DnsType::a, "1.2.0.192.bl.test", addresses({"127.0.0.2"}));
  bench.resolver.add(net::DnsType::txt, "1.2.0.192.bl.test", texts({"see https://bl.test\r\n"}));
  bench.resolver.add(net::DnsType::a, "2.2.0.192.picky.test", addresses({"127.0.0.3"}));
  bench.resolver.add(net::DnsType::a, "3.2.0.192.parked.test", addresses({"192.0.2.80"}));
  bench.resolver.add(net::DnsType::a, "4.2.0.192.bl.test", addresses({"127.0.0.2"}));
  bench.resolver.add(net::DnsType::a, "4.2.0.192.wl.test", addresses({"127.0.0.1"}));
  bench.resolver.add_error(net::DnsType::a, "5.2.0.192.bl.test", {Error::Kind::temporary, "timeout", 0});
  bench.open("192.0.2.1");
  CHECK(bench.connected().empty());
  const auto refused = bench.sender();
  CHECK(refused.starts_with("554 5.7.1 Your address 192.0.2.1 is listed by bl.test: see https://bl.test"));
  CHECK(refused.find('\r') == std::string::npos);
  for (const auto* address : {"192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "2001:db8::1"}) {
    bench.open(address);
    CHECK(bench.connected().empty());
    CHECK(bench.sender().empty());
  }
  bench.open("192.0.2.1");
  bench.client->connected();
  bench.question.trusted = true;
  CHECK(bench.sender().empty());
}

TEST_CASE("the client's name") {
  Bench bench;
  bench.settings.policy.reverse_dns = GENERATE(as<std::string>(), "exists", "confirmed");
  const bool confirmed = bench.settings.policy.reverse_dns == "confirmed";
  bench.resolver.add(net::DnsType::ptr, "1.2.0.192.in-addr.arpa", texts({"liar.test", "mx.test"}));
  bench.resolver.add(net::DnsType::a, "mx.test", addresses({"192.0.2.7", "192.0.2.1"}));
  bench.resolver.add(net::DnsType::ptr, "2.2.0.192.in-addr.arpa", texts({"liar.test"}));
  bench.resolver.add(net::DnsType::a, "liar.test", addresses({"203.0.113.1"}));
  bench.resolver.add_error(net::DnsType::ptr, "3.2.0.192.in-addr.arpa", {Error::Kind::temporary, "timeout", 0});
  const auto verdict = [&](const char* address) {
    bench.open(address);
    CHECK(bench.connected().empty());
    return bench.sender();
  };
  CHECK(verdict("192.0.2.1").empty());
  CHECK(bench.client->confirmed_name() == "mx.test");
  CHECK(verdict("192.0.2.2").empty() != confirmed);
  CHECK(bench.client->confirmed_name().empty());
  CHECK(verdict("192.0.2.3").empty());
  CHECK(verdict("192.0.2.4") == "550 5.7.25 Your address has no name in DNS");
}

TEST_CASE("lists of clients' names: denied by any name, allowed by one that leads back") {
  Bench bench;
  const test::TemporaryDirectory directory;
  bench.settings.policy.greylist = 300s;
  bench.settings.policy.greylist_database = directory / "g";
  bench.settings.policy.deny_names = {".dynamic.test"};
  bench.settings.policy.allow_names = {"mx.test"};
  bench.resolver.add(net::DnsType::ptr, "1.2.0.192.in-addr.arpa", texts({"mx.test"}));
  bench.resolver.add(net::DnsType::a, "mx.test", addresses({"192.0.2.1"}));
  bench.resolver.add(net::DnsType::ptr, "2.2.0.192.in-addr.arpa", texts({"mx.test"}));  // it says so only itself
  bench.resolver.add(net::DnsType::ptr, "3.2.0.192.in-addr.arpa", texts({"a3.dynamic.test"}));
  const auto verdict = [&](const char* address) {
    bench.open(address);
    CHECK(bench.connected().empty());
    return bench.sender();
  };
  CHECK(verdict("192.0.2.1").empty());
  CHECK(bench.recipient().empty());
  CHECK(verdict("192.0.2.2").empty());
  CHECK(bench.recipient().starts_with("451 4.7.1 Greylisted"));
  CHECK(verdict("192.0.2.3") == "554 5.7.1 No mail is taken from your host");
  CHECK(verdict("192.0.2.4").empty());
}

TEST_CASE("the name in HELO") {
  Bench bench;
  bench.settings.host.name = "mx.example.test";
  bench.settings.policy.helo = "resolves";
  bench.resolver.add(net::DnsType::aaaa, "six.test", addresses({"2001:db8::1"}));
  bench.resolver.add(net::DnsType::mx, "mail.test", texts({}));
  bench.resolver.add_error(net::DnsType::a, "slow.test", {Error::Kind::temporary, "timeout", 0});
  bench.open();
  CHECK(bench.hello("localhost").starts_with("504 5.5.2"));
  CHECK(bench.hello("MX.example.test").starts_with("550 5.7.1"));
  CHECK(bench.hello("nowhere.test").starts_with("450 4.7.1"));
  for (const auto* name : {"six.test", "mail.test", "slow.test", "[192.0.2.1]"}) CHECK(bench.hello(name).empty());
}

TEST_CASE("greylisting in its place: after the lists, not for who is spared") {
  const test::TemporaryDirectory directory;
  Bench bench;
  bench.settings.policy.greylist = 300s;
  bench.settings.policy.greylist_database = directory / "g";
  bench.settings.policy.allow_senders = {"friend.example"};
  bench.settings.policy.allow_recipients = {"postmaster@"};
  bench.open();
  CHECK(bench.connected().empty());
  CHECK(bench.sender().empty());
  CHECK(bench.recipient() == "451 4.7.1 Greylisted, try again in 300 seconds");
  CHECK(bench.recipient("postmaster@example.test").empty());
  bench.clock.advance(301s);
  CHECK(bench.recipient().empty());
  CHECK(bench.sender("x@friend.example").empty());
  CHECK(bench.recipient("new@example.test").empty());
}

namespace {

/// A policy server that answers by recipient, on a Unix socket, in a thread of its own.
struct PolicyServer {
  test::TemporaryDirectory directory;
  UniqueFd listener;
  std::thread thread;
  std::vector<std::string> questions;
  int connections = 0;
  std::string path() const { return directory / "s"; }

  explicit PolicyServer(bool close_after_each = false) {
    listener.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage{};
    const auto octets = net::SocketAddress{{}, 0, path()}.to(storage);
    REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0);
    REQUIRE(listen(listener.get(), 8) == 0);
    thread = std::thread([this, close_after_each] { serve(close_after_each); });
  }
  ~PolicyServer() {
    shutdown(listener.get(), SHUT_RDWR);
    thread.join();
  }
  void serve(bool close_after_each) {
    for (;;) {
      const UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      ++connections;
      std::string got;
      char buffer[4096];
      for (ssize_t count = 0; (count = recv(fd.get(), buffer, sizeof buffer, 0)) > 0;) {
        got.append(buffer, static_cast<std::size_t>(count));
        if (!got.ends_with("\n\n")) continue;
        questions.push_back(std::exchange(got, {}));
        const auto& question = questions.back();
        std::string answer = "action=DUNNO\n\n";
        if (question.find("recipient=no@") != std::string::npos) answer = "action=REJECT not him\n\n";
        if (question.find("recipient=later@") != std::string::npos) answer = "action=451 4.2.0 come later\n\n";
        if (question.find("recipient=odd@") != std::string::npos) answer = "action=REDIRECT x@y\n\n";
        if (question.find("recipient=mark@") != std::string::npos) answer = "action=PREPEND X-Mark: yes\n\n";
        if (question.find("recipient=hold@") != std::string::npos) answer = "action=HOLD\n\n";
        if (question.find("protocol_state=END-OF-MESSAGE\n") != std::string::npos) answer = "action=DISCARD\n\n";
        if (question.find("protocol_state=HELO\n") != std::string::npos) answer = "action=521 no HELO here\n\n";
        if (question.find("recipient=broken@") != std::string::npos) answer = "nonsense\n\n";
        if (question.find("recipient=silent@") != std::string::npos) continue;
        send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
        if (close_after_each) break;
      }
    }
  }
};

}  // namespace

TEST_CASE("a policy server is asked for each recipient") {
  const bool closes = GENERATE(false, true);
  auto server = std::make_unique<PolicyServer>(closes);
  Bench bench;
  bench.settings.policy.delegation = "unix:" + server->path();
  bench.settings.policy.delegation_timeout = 200ms;
  const bool defers = GENERATE(false, true);
  bench.settings.policy.delegation_failure = defers ? "defer" : "accept";
  bench.open();
  CHECK(bench.connected().empty());
  bench.hello("client.example\nrecipient=yes@x");
  CHECK(bench.sender().empty());
  CHECK(bench.recipient("yes@example.test").empty());
  CHECK(bench.recipient("no@example.test") == "554 5.7.1 not him");
  CHECK(bench.recipient("later@example.test") == "451 4.2.0 come later");
  CHECK(bench.recipient("odd@example.test").empty());
  for (const auto* address : {"broken@example.test", "silent@example.test"})
    CHECK(bench.recipient(address) == (defers ? "451 4.3.5 Policy server problem, try later" : ""));
  CHECK(bench.recipient("no@example.test") == "554 5.7.1 not him");
  bench.client.reset();
  const auto& first = server->questions.at(0);
  CHECK(first.starts_with("request=smtpd_access_policy\nprotocol_state=RCPT\n"));
  CHECK(first.find("client_address=192.0.2.1\n") != std::string::npos);
  CHECK(first.find("helo_name=client.example?recipient=yes@x\n") != std::string::npos);
  server.reset();
  bench.open();
  CHECK(bench.connected().empty());
  CHECK(bench.sender().empty());
  CHECK(bench.recipient("yes@example.test") == (defers ? "451 4.3.5 Policy server problem, try later" : ""));
}

TEST_CASE("a policy server is asked at the stages that are set, and may want more than yes and no") {
  PolicyServer server;
  Bench bench;
  bench.settings.policy.delegation = "unix:" + server.path();
  bench.settings.policy.delegation_stages = {"HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE"};
  bench.open();
  CHECK(bench.connected().empty());
  bench.question.esmtp = false;
  CHECK(bench.hello("old.example") == "521 5.7.1 no HELO here");
  bench.question.esmtp = true;
  bench.question.tls_version = "TLSv1.3";
  CHECK(bench.hello("new.example").empty());
  CHECK(bench.sender().empty());
  CHECK(bench.recipient("mark@example.test").empty());
  CHECK(bench.recipient("hold@example.test").empty());
  bench.question.recipient.clear();
  CHECK(bench.ask(&ClientPolicy::data).empty());
  CHECK_FALSE(bench.client->wishes().discard);
  CHECK(bench.ask(&ClientPolicy::end_of_message).empty());
  CHECK(bench.client->wishes().prepend == "X-Mark: yes\r\n");
  CHECK(bench.client->wishes().hold);
  CHECK(bench.client->wishes().discard);
  CHECK(bench.sender().empty());
  CHECK_FALSE(bench.client->wishes().hold);
  std::string stages;
  for (const auto& question : server.questions)
    stages += concat({split_once(split(question, '\n').at(1), '=').second, " "});
  CHECK(stages == "HELO EHLO MAIL RCPT RCPT DATA END-OF-MESSAGE MAIL ");
  CHECK(server.questions.back().find("encryption_protocol=TLSv1.3\n") != std::string::npos);
}

TEST_CASE("a client may go while answers are awaited") {
  Bench bench;
  bench.settings.policy.dnsbl = {"bl.test"};
  bench.open();
  CHECK(bench.connected().empty());
  bench.client->sender(bench.question, [](const ClientPolicy::Answer&) { FAIL("called"); });
  bench.client.reset();
  for (int i = 0; i < 5; ++i) bench.loop->run_once(2ms);
}

TEST_CASE("actions of policy servers") {
  for (const auto* action : {"DUNNO", "OK", "ok", "permit", "200 fine", ""}) CHECK_FALSE(parse_action(action).refusal);
  CHECK(parse_action("REJECT").refusal->line() == "554 5.7.1 Access denied");
  CHECK(parse_action("reject 5.7.0 no\x01way").refusal->line() == "554 5.7.0 no\\x01way");
  CHECK(parse_action("DEFER_IF_PERMIT").refusal->code == 450);
  CHECK(parse_action("550 no").refusal->line() == "550 5.7.1 no");
  CHECK(parse_action("hold").hold);
  CHECK(parse_action("DISCARD quietly").discard);
  CHECK(parse_action("PREPEND X-A: b").prepend == "X-A: b");
  CHECK(parse_action("PREPEND no field").ignored == "PREPEND no field");
  CHECK(parse_action("WARN odd").remark == "WARN odd");
  CHECK(parse_action("REDIRECT spam@example.org").redirect == "spam@example.org");
  CHECK(parse_action("bcc watch@example.org").bcc == "watch@example.org");
  CHECK(parse_action("REDIRECT <no path").ignored == "REDIRECT <no path");
  CHECK(parse_action("BCC").ignored == "BCC");
  CHECK(parse_action("FILTER smtp:x").ignored == "FILTER smtp:x");
  CHECK(parse_action("PREPEND X-A: b\rc").ignored == "PREPEND X-A: b\\x0dc");
  CHECK(parse_action("PREPEND X-A: " + std::string(1000, 'b')).prepend.empty());
  CHECK(parse_action("REJECT 4.7.0 of another class").refusal->line() == "554 5.7.1 4.7.0 of another class");
  CHECK(smtp::to_wire(*parse_action("REJECT " + std::string(600, 'x')).refusal).size() < 512);
  CHECK_FALSE(action_of("actionx=1\n"));
}
