// Every mechanism, on either side, against a peer that says anything: nobody is logged in without the password, and no
// server is believed that does not know it.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <variant>

#include "base/strings.h"
#include "sasl/client.h"
#include "sasl/server.h"

namespace {

using namespace mail;
using namespace mail::sasl;

constexpr std::array<std::string_view, 8> kMechanisms{
    "PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER"};

Channel channel() {
  return {.encrypted = true,
          .tls_exporter = std::string(32, 'e'),
          .tls_server_end_point = std::string(32, 'p'),
          .external_identity = "ann"};
}

/// No password that comes is accepted, no secret is what a client of this kind could have used.
ServerStep answered(ServerExchange& exchange, const ServerStep& step) {
  if (std::holds_alternative<CheckPassword>(step)) return exchange.decide(false);
  if (std::holds_alternative<NeedScramKeys>(step))
    return exchange.give_keys({"salt", 4096, std::string(32, 's'), std::string(32, 'k')}, true);
  if (std::holds_alternative<NeedSecret>(step)) return exchange.give_secret(std::nullopt);
  return step;
}

void serve(std::string_view mechanism, const std::vector<std::string_view>& lines) {
  ServerPolicy policy;
  policy.mechanisms.assign(kMechanisms.begin(), kMechanisms.end());
  policy.host_name = "mx.example";
  policy.keep_plain_secrets = true;
  auto exchange = begin_server(mechanism, policy, channel());
  if (!exchange) return;
  const bool silent = lines.empty() || lines[0] == "-";
  auto step = answered(**exchange, (*exchange)->start(silent ? std::nullopt : std::optional(lines[0])));
  for (std::size_t i = 1; i < lines.size() && std::holds_alternative<Challenge>(step); ++i)
    step = answered(**exchange, (*exchange)->step(lines[i]));
  if (const auto* success = std::get_if<Success>(&step); success != nullptr && mechanism != "EXTERNAL") std::abort();
}

void talk(std::string_view mechanism, const std::vector<std::string_view>& lines) {
  ClientCredentials credentials;
  credentials.user = mechanism == "EXTERNAL" ? "" : "ann";
  if (mechanism == "OAUTHBEARER")
    credentials.token = Secret("token");
  else
    credentials.password = Secret("secret");
  auto exchange = begin_client(mechanism, credentials, channel());
  if (!exchange) return;
  (void)(*exchange)->initial_response();
  for (const auto line : lines)
    if (!(*exchange)->step(line)) break;
  if (mechanism.starts_with("SCRAM") && (*exchange)->succeeded()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto mechanism = kMechanisms[data[0] % kMechanisms.size()];
  const auto lines = split({reinterpret_cast<const char*>(data) + 1, size - 1}, '\n');
  serve(mechanism, lines);
  talk(mechanism, lines);
  return 0;
}
