#include "directory/login.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "base/strings.h"
#include "sasl/client.h"
#include "sasl/digest.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::directory;
using namespace std::chrono_literals;
using Why = LoginRefused::Why;

namespace {

struct Fixture {
  mail::test::TemporaryDirectory directory;
  std::unique_ptr<Directory> users;
  ManualClock clock{WallTime{}};
  Throttle throttle;
  sasl::ServerPolicy policy{.mechanisms = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5"}};
  std::vector<std::pair<std::function<void()>, std::function<void()>>> later;
  bool wait = false;
  std::unique_ptr<Login> login;
  std::optional<LoginStep> last;

  explicit Fixture(std::string_view file = "ann:{PLAIN}secret\nbob:{PLAIN}b\n", Throttle::Options options = {})
      : throttle(options, clock) {
    std::ofstream(directory / "users") << file;
    Options directory_options;
    directory_options.passwd_file = directory / "users";
    directory_options.mail_root = "/m/%n";
    directory_options.domains = {"example.test"};
    users = std::move(*Directory::open(directory_options, clock));
    renew();
  }
  void renew(bool tls = true) {
    login = std::make_unique<Login>(
        *users, &throttle, policy,
        [this](std::function<void()> job, std::function<void()> done) {
          if (wait) return later.emplace_back(std::move(job), std::move(done)), void();
          job();
          done();
        },
        Login::Peer{"test", "192.0.2.1"});
    if (tls) login->set_channel({.encrypted = true});
  }
  Login::Done keep() {
    last.reset();
    return [this](LoginStep step) { last = std::move(step); };
  }
  std::string user() const {
    return last && std::holds_alternative<LoginAccepted>(*last) ? std::get<LoginAccepted>(*last).user.name : "-";
  }
  std::optional<Why> why() const {
    return last && std::holds_alternative<LoginRefused>(*last) ? std::optional(std::get<LoginRefused>(*last).why)
                                                               : std::nullopt;
  }
  std::string challenge() const { return std::get<LoginChallenge>(*last).octets; }
};

std::string base64(std::string_view a, std::string_view b, std::string_view c) {
  return to_base64(concat({a, std::string_view("\0", 1), b, std::string_view("\0", 1), c}));
}

}  // namespace

TEST_CASE("log in by PLAIN, LOGIN, SCRAM, CRAM-MD5, APOP and plain password") {
  Fixture f;
  f.login->start("PLAIN", base64("", "ann", "secret"), f.keep());
  CHECK(f.user() == "ann");
  f.login->start("PLAIN", std::nullopt, f.keep());
  CHECK(f.challenge().empty());
  f.login->respond(base64("Ann@example.test", "ann", "secret"), f.keep());
  CHECK(f.user() == "ann");
  f.login->start("LOGIN", std::nullopt, f.keep());
  f.login->respond(to_base64("ann@example.test"), f.keep());
  f.login->respond(to_base64("secret"), f.keep());
  CHECK(f.user() == "ann");
  for (const std::string mechanism : {"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"}) {
    INFO(mechanism);
    const auto client = sasl::begin_client(mechanism, {.user = "ann", .password = sasl::Secret("secret")}, {});
    const auto initial = (*client)->initial_response();
    f.login->start(mechanism, initial ? std::optional(to_base64(*initial)) : std::nullopt, f.keep());
    while (f.last && std::holds_alternative<LoginChallenge>(*f.last)) {
      const auto response = (*client)->step(f.challenge());
      REQUIRE(response);
      f.login->respond(to_base64(*response), f.keep());
    }
    CHECK(f.user() == "ann");
  }
  f.login->with_password("ann", "secret", f.keep());
  CHECK(f.user() == "ann");
  f.login->with_apop("ann", "<1896.697170952@dbc.mtview.ca.us>",
                     to_hex(sasl::digest(EVP_md5(), "<1896.697170952@dbc.mtview.ca.us>secret")), f.keep());
  CHECK(f.user() == "ann");
}

TEST_CASE("refusals say what the protocol needs to know, and no more") {
  Fixture f;
  const auto refused = [&](std::string_view mechanism, std::optional<std::string> initial) {
    f.renew();
    f.login->start(mechanism, initial, f.keep());
    return f.why();
  };
  CHECK(refused("PLAIN", base64("", "ann", "wrong")) == Why::credentials);
  CHECK(refused("PLAIN", base64("", "nobody", "wrong")) == Why::credentials);
  CHECK(refused("PLAIN", base64("bob", "ann", "secret")) == Why::credentials);
  CHECK(refused("PLAIN", "not base64!") == Why::malformed);
  CHECK(refused("PLAIN", "=") == Why::malformed);
  CHECK(refused("NTLM", std::nullopt) == Why::unknown);
  f.renew(false);
  f.login->start("PLAIN", std::nullopt, f.keep());
  CHECK(f.why() == Why::needs_tls);
  CHECK(f.login->announced() == std::vector<std::string>{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"});
  f.renew();
  f.login->start("LOGIN", std::nullopt, f.keep());
  f.login->respond("*", f.keep());
  CHECK(f.why() == Why::cancelled);
  f.login->respond("AAAA", f.keep());
  CHECK(f.why() == Why::malformed);
  f.login->with_apop("ann", "<x@y>", "0123456789abcdef0123456789abcdef", f.keep());
  CHECK(f.why() == Why::credentials);
  f.login->with_apop("nobody", "<x@y>", "", f.keep());
  CHECK(f.why() == Why::credentials);
  CHECK(f.login->failures() == 2);
}

TEST_CASE("only mechanisms that work for every user are announced") {
  Fixture f("ann:{PLAIN}secret\nbob:{CRYPT}x\n");
  CHECK(f.login->announced() == std::vector<std::string>{"PLAIN", "LOGIN"});
  f.login->start("SCRAM-SHA-256", std::nullopt, f.keep());
  CHECK(f.why() == Why::unknown);
}

TEST_CASE("guessing is slowed down and locked out") {
  Throttle::Options options;
  options.free_failures = 1;
  options.first_delay = 1s;
  options.address_failures = 4;
  Fixture f("ann:{PLAIN}secret\nbob:{PLAIN}b\n", options);
  std::vector<long> delays;
  for (int i = 0; i < 4; ++i) {
    f.login->with_password("ann", "wrong", f.keep());
    delays.push_back(std::get<LoginRefused>(*f.last).delay.count());
  }
  CHECK(delays == std::vector<long>{0, 1000, 2000, 4000});
  f.login->with_password("ann", "secret", f.keep());
  CHECK(f.why() == Why::credentials);
  f.login->start("PLAIN", base64("", "bob", "b"), f.keep());
  CHECK(f.why() == Why::credentials);
}

TEST_CASE("a connection that goes while the password is checked is not called back") {
  Fixture f;
  f.wait = true;
  bool called = false;
  f.login->with_password("ann", "secret", [&](LoginStep) { called = true; });
  REQUIRE(f.later.size() == 1);
  f.login.reset();
  f.later[0].first();
  f.later[0].second();
  CHECK_FALSE(called);
}

TEST_CASE("a remembered password needs no worker") {
  Fixture f;
  f.login->with_password("ann", "secret", f.keep());
  f.wait = true;
  f.login->start("PLAIN", base64("", "ann", "secret"), f.keep());
  CHECK(f.later.empty());
  CHECK(f.user() == "ann");
}
