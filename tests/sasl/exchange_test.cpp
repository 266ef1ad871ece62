#include <catch2/catch.hpp>

#include "base/strings.h"
#include "sasl/client.h"
#include "sasl/digest.h"
#include "sasl/scram.h"
#include "sasl/server.h"

using namespace mail;
using namespace mail::sasl;

namespace {

const Channel kTls{.encrypted = true};
const Channel kBound{.encrypted = true, .tls_exporter = std::string(32, '\x07')};

std::string challenge_of(const ServerStep& step) {
  REQUIRE(std::holds_alternative<Challenge>(step));
  return std::get<Challenge>(step).octets;
}
bool failed(const ServerStep& step, bool malformed) {
  return std::holds_alternative<Failure>(step) && std::get<Failure>(step).malformed == malformed;
}

/// Answers what a server asks, for one user with one password.
ServerStep decide(ServerExchange& server, ServerStep step, std::string_view user, std::string_view password) {
  if (const auto* check = std::get_if<CheckPassword>(&step))
    return server.decide(check->authcid == user && check->password.text() == password);
  if (const auto* need = std::get_if<NeedScramKeys>(&step))
    return server.give_keys(make_scram_keys(need->hash, password, "some salt", 4096), need->authcid == user);
  if (const auto* need = std::get_if<NeedSecret>(&step))
    return server.give_secret(need->authcid == user ? std::optional(Secret(password)) : std::nullopt);
  return step;
}

/// Both ends of an exchange together, for a user "ann" with the password "pencil".
ServerStep converse(const std::string& mechanism, const ClientCredentials& credentials, const Channel& client_channel,
                    const Channel& server_channel, bool with_initial_response) {
  ServerPolicy policy{.mechanisms = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL"},
                      .keep_plain_secrets = true};
  auto server = begin_server(mechanism, policy, server_channel);
  REQUIRE(server);
  auto client = begin_client(mechanism, credentials, client_channel);
  REQUIRE(client);
  std::optional<std::string> initial;
  if (with_initial_response) initial = (*client)->initial_response();
  auto step = decide(**server, (*server)->start(initial), "ann", "pencil");
  while (std::holds_alternative<Challenge>(step)) {
    const auto response = (*client)->step(std::get<Challenge>(step).octets);
    if (!response) return Failure{false, response.error().text};
    step = decide(**server, (*server)->step(*response), "ann", "pencil");
  }
  if (std::holds_alternative<Success>(step)) CHECK((*client)->succeeded());
  return step;
}

struct Example {
  ScramHash hash;
  std::string mechanism, client_nonce, server_nonce, salt, client_first, server_first, client_final, server_final;
};
const Example kExamples[] = {
    {ScramHash::sha1, "SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
     "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    {ScramHash::sha256, "SCRAM-SHA-256", "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
     "W22ZaJ0SNY7soEsUEjb6gQ==", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

}  // namespace

TEST_CASE("SCRAM: the examples of RFC 5802 section 5 and RFC 7677 section 3") {
  for (const auto& example : kExamples) {
    auto server = begin_scram_server({example.hash, false}, {}, false, example.server_nonce);
    auto client = begin_scram_client({example.hash, false}, example.mechanism,
                                     {.user = "user", .password = Secret("pencil")}, {}, true, example.client_nonce);
    CHECK(client->initial_response() == example.client_first);
    auto step = server->start(example.client_first);
    REQUIRE(std::holds_alternative<NeedScramKeys>(step));
    CHECK(std::get<NeedScramKeys>(step).authcid == "user");
    const auto keys = make_scram_keys(example.hash, "pencil", *from_base64(example.salt), 4096);
    CHECK(challenge_of(server->give_keys(keys, true)) == example.server_first);
    CHECK(client->step(example.server_first).value() == example.client_final);
    CHECK_FALSE(client->succeeded());
    CHECK(challenge_of(server->step(example.client_final)) == example.server_final);
    CHECK(client->step(example.server_final).value().empty());
    CHECK(client->succeeded());
    step = server->step("");
    REQUIRE(std::holds_alternative<Success>(step));
    CHECK(std::get<Success>(step).authcid == "user");
  }
}

TEST_CASE("every mechanism logs in with the right password and with no other") {
  for (const std::string mechanism :
       {"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "CRAM-MD5"})
    for (const bool initial : {true, false}) {
      INFO(mechanism << (initial ? " with" : " without") << " initial response");
      const auto right = converse(mechanism, {.user = "ann", .password = Secret("pencil")}, kBound, kBound, initial);
      CHECK(std::holds_alternative<Success>(right));
      CHECK(failed(converse(mechanism, {.user = "ann", .password = Secret("pen")}, kBound, kBound, initial), false));
      CHECK(failed(converse(mechanism, {.user = "bob", .password = Secret("pencil")}, kBound, kBound, initial), false));
    }
}

TEST_CASE("SCRAM-PLUS fails where the client is not on the server's own TLS connection") {
  const Channel other{.encrypted = true, .tls_exporter = std::string(32, '\x08')};
  const ClientCredentials credentials{.user = "ann", .password = Secret("pencil")};
  CHECK(failed(converse("SCRAM-SHA-256-PLUS", credentials, other, kBound, true), false));
  const Channel end_point{.encrypted = true, .tls_server_end_point = "hash of the certificate"};
  CHECK(std::holds_alternative<Success>(converse("SCRAM-SHA-256-PLUS", credentials, end_point, end_point, true)));
  // A binding that the server does not have on this connection.
  CHECK(failed(converse("SCRAM-SHA-256-PLUS", credentials, end_point, kBound, true), true));
}

TEST_CASE("SCRAM: a cut list of mechanisms is noticed") {
  auto server = begin_server("SCRAM-SHA-256", {}, kBound);
  CHECK(failed((*server)->start("y,,n=ann,r=abc"), true));
  auto plain = begin_server("SCRAM-SHA-256", {}, kTls);
  CHECK(std::holds_alternative<NeedScramKeys>((*plain)->start("y,,n=ann,r=abc")));
  const auto client =
      begin_client("SCRAM-SHA-256", {.user = "ann", .password = Secret("x")}, kBound, {"SCRAM-SHA-256", "PLAIN"});
  CHECK((*client)->initial_response()->starts_with("y,,"));
  const auto unsure = begin_client("SCRAM-SHA-256", {.user = "ann", .password = Secret("x")}, kBound);
  CHECK((*unsure)->initial_response()->starts_with("n,,"));
}

TEST_CASE("SCRAM: what is not of the grammar is refused") {
  for (const std::string first :
       {"", "n", "n,", "n,,", "n,,n=ann", "n,,n=ann,r=", "n,,n=,r=abc", "n,,m=x,n=ann,r=abc", "n,,n=a=nn,r=abc",
        "x,,n=ann,r=abc", "n,a=,n=ann,r=abc", "n,b=c,n=ann,r=abc", "p=,,n=ann,r=abc", "n,,n=ann,r=a\x01",
        "n,,n=a\xff,r=abc", "n,a=x", "n,,n=a\x07,r=abc", "n,,n=ann,r=abc,m=x", "p=tls-exporter,,n=ann,r=abc"}) {
    INFO(first);
    auto server = begin_server("SCRAM-SHA-256", {}, kTls);
    CHECK(failed((*server)->start(first), true));
  }
  for (const std::string last : {"", "c=biws", "c=biws,r=abcx", "c=!,r=abcx,p=AA==", "c=biws,r=abcx,p=AA==,q=1",
                                 "c=biws,r=abcx,m=1,p=AA==", "r=abcx,c=biws,p=AA=="}) {
    INFO(last);
    auto server = begin_scram_server({ScramHash::sha256, false}, kTls, false, "x");
    server->start("n,,n=ann,r=abc");
    server->give_keys(make_scram_keys(ScramHash::sha256, "p", "s", 4096), true);
    CHECK(failed(server->step(last), true));
  }
}

TEST_CASE("SCRAM client: a server that does not know the password is not believed") {
  const auto& example = kExamples[1];
  const auto begin = [&] {
    auto client = begin_scram_client({example.hash, false}, example.mechanism,
                                     {.user = "user", .password = Secret("pencil")}, {}, true, example.client_nonce);
    client->initial_response();
    return client;
  };
  for (const std::string first :
       {"", "e=other-error", "r=somebodyelse,s=W22Z,i=4096", "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4294967295",
        "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096"}) {
    INFO(first);
    CHECK_FALSE(begin()->step(first));
  }
  for (const std::string last : {"v=AAAA", "e=invalid-proof", "", "x"}) {
    auto client = begin();
    CHECK(client->step(example.server_first));
    CHECK_FALSE(client->step(last));
    CHECK_FALSE(client->succeeded());
  }
}

TEST_CASE("PLAIN: RFC 4616 examples and bad messages") {
  auto server = begin_server("plain", {}, kTls);
  CHECK(challenge_of((*server)->start(std::nullopt)).empty());
  auto step = (*server)->step(std::string_view("Ursel\0Kurt\0xipj3plmq", 20));
  const auto* check = std::get_if<CheckPassword>(&step);
  REQUIRE(check);
  CHECK(check->authzid == "Ursel");
  CHECK(check->authcid == "Kurt");
  CHECK(check->password.text() == "xipj3plmq");
  const auto success = (*server)->decide(true);
  CHECK(std::get<Success>(success).authzid == "Ursel");
  for (const std::string& bad :
       {std::string(), std::string("ann"), std::string("\0ann", 4), std::string("\0\0pw", 4), std::string("\0ann\0", 5),
        std::string("\0ann\0a\0b", 8), std::string("\0ann\0\xff", 6),
        std::string("\0", 1) + std::string(2000, 'a') + std::string("\0p", 2)})
    CHECK(failed((*begin_server("PLAIN", {}, kTls))->start(bad), true));
}

TEST_CASE("CRAM-MD5: RFC 2195's client, and a name with a blank") {
  const auto client = begin_client("CRAM-MD5", {.user = "tim", .password = Secret("tanstaaftanstaaf")}, {});
  CHECK((*client)->step("<1896.697170952@postoffice.reston.mci.net>").value() ==
        "tim b913a602c7eda7a495b4e6e7334d3890");
  auto server = begin_server("CRAM-MD5", {.mechanisms = {"CRAM-MD5"}, .keep_plain_secrets = true}, {});
  const auto challenge = challenge_of((*server)->start(std::nullopt));
  const auto step = (*server)->step("ann lee " + cram_md5("x", challenge));
  REQUIRE(std::holds_alternative<NeedSecret>(step));
  CHECK(std::get<NeedSecret>(step).authcid == "ann lee");
  CHECK(std::holds_alternative<Success>((*server)->give_secret(Secret("x"))));
}

TEST_CASE("OAUTHBEARER and XOAUTH2 clients") {
  const ClientCredentials credentials{.user = "user@example.com",
                                      .token = Secret("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
                                      .host = "server.example.com",
                                      .port = 143};
  auto bearer = begin_client("OAUTHBEARER", credentials, kTls);
  CHECK(to_base64(*(*bearer)->initial_response()) ==
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52Yj"
        "NSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB");
  CHECK((*bearer)->step(R"({"status":"invalid_token"})").value() == "\x01");
  auto old = begin_client("XOAUTH2", credentials, kTls);
  CHECK((*old)->step("").value() ==
        "user=user@example.com\x01"
        "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01");
  CHECK((*old)->step("{}").value().empty());
  CHECK_FALSE(begin_client("OAUTHBEARER", {.user = "x", .password = Secret("y")}, kTls));
}

TEST_CASE("EXTERNAL takes the channel's identity") {
  const ServerPolicy policy{.mechanisms = {"EXTERNAL", "PLAIN"}};
  CHECK(announced_mechanisms(policy, kTls) == std::vector<std::string>{"PLAIN"});
  const Channel certified{.encrypted = true, .external_identity = "ann"};
  CHECK(announced_mechanisms(policy, certified) == std::vector<std::string>{"EXTERNAL", "PLAIN"});
  CHECK_FALSE(begin_server("EXTERNAL", policy, kTls));
  auto server = begin_server("EXTERNAL", policy, certified);
  const auto step = (*server)->start("");
  CHECK(std::get<Success>(step).authcid == "ann");
}

TEST_CASE("what is announced follows the channel, and only that begins") {
  const ServerPolicy policy;
  CHECK(announced_mechanisms(policy, {}) == std::vector<std::string>{"SCRAM-SHA-256", "SCRAM-SHA-1"});
  CHECK(announced_mechanisms(policy, kBound) == std::vector<std::string>{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256",
                                                                         "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN",
                                                                         "LOGIN"});
  CHECK(begin_server("PLAIN", policy, {}).error().kind == Error::Kind::refused);
  CHECK(begin_server("CRAM-MD5", policy, kTls).error().kind == Error::Kind::not_found);
  CHECK(begin_server("SCRAM-SHA-256-PLUS", policy, kTls).error().kind == Error::Kind::not_found);
  CHECK(begin_server("", policy, kTls).error().kind == Error::Kind::not_found);
  CHECK(begin_server("PLAIN", {.allow_plaintext = true}, {}));
}

TEST_CASE("the client chooses the strongest, and no password in clear text") {
  const ClientCredentials password{.user = "ann", .password = Secret("x")};
  CHECK(choose_mechanism({"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}, password, kBound) ==
        "SCRAM-SHA-256-PLUS");
  CHECK(choose_mechanism({"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}, password, kTls) ==
        "SCRAM-SHA-256");
  CHECK(choose_mechanism({"LOGIN", "PLAIN"}, password, kTls) == "PLAIN");
  CHECK_FALSE(choose_mechanism({"LOGIN", "PLAIN"}, password, {}));
  CHECK(choose_mechanism({"LOGIN", "PLAIN"}, password, {}, true) == "PLAIN");
  CHECK(choose_mechanism({"PLAIN", "XOAUTH2"}, {.user = "ann", .token = Secret("t")}, kTls) == "XOAUTH2");
  CHECK_FALSE(choose_mechanism({"PLAIN"}, {.user = "ann", .token = Secret("t")}, kTls));
}

TEST_CASE("answers that nobody asked for do not log in") {
  auto server = begin_server("SCRAM-SHA-256", {}, kTls);
  CHECK(failed((*server)->decide(true), true));
  CHECK(failed((*server)->give_secret(Secret("x")), true));
  auto plain = begin_server("PLAIN", {}, kTls);
  CHECK(failed((*plain)->give_keys({}, true), true));
}
