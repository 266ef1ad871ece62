#include "sasl/server.h"

#include <algorithm>
#include <array>

#include "base/id.h"
#include "base/strings.h"
#include "sasl/digest.h"
#include "sasl/scram.h"

namespace mail::sasl {
namespace {

constexpr std::size_t kLongestName = 1024;      // octets of a user name: more is no name
constexpr std::size_t kLongestPassword = 4096;  // octets: hashing more would be work for nothing

ServerStep malformed(std::string text) { return Failure{true, std::move(text)}; }
ServerStep wrong() { return Failure{false, "wrong user name or password"}; }

/// PLAIN (RFC 4616): [authzid] NUL authcid NUL password.
class PlainServer final : public ServerExchange {
 public:
  ServerStep start(std::optional<std::string_view> initial_response) override {
    return initial_response ? step(*initial_response) : Challenge{};
  }
  ServerStep step(std::string_view response) override {
    const auto parts = split(response, '\0');
    if (parts.size() != 3 || parts[1].empty() || parts[2].empty()) return malformed("PLAIN: not three parts");
    if (parts[0].size() > kLongestName || parts[1].size() > kLongestName || parts[2].size() > kLongestPassword)
      return malformed("PLAIN: too long");
    if (!is_utf8(response)) return malformed("PLAIN: not UTF-8");
    authzid_ = parts[0], authcid_ = parts[1];
    return CheckPassword{authcid_, authzid_, Secret(parts[2])};
  }
  ServerStep decide(bool accepted) override { return accepted ? ServerStep(Success{authcid_, authzid_}) : wrong(); }

 private:
  std::string authzid_, authcid_;
};

/// LOGIN (draft-murchison-sasl-login): prompts that every client ignores.
class LoginServer final : public ServerExchange {
 public:
  ServerStep start(std::optional<std::string_view> initial_response) override {
    return initial_response ? step(*initial_response) : Challenge{"Username:"};
  }
  ServerStep step(std::string_view response) override {
    if (response.find('\0') != std::string_view::npos) return malformed("LOGIN: NUL");
    if (authcid_.empty()) {
      if (response.empty() || response.size() > kLongestName || !is_utf8(response))
        return malformed("LOGIN: user name");
      authcid_ = response;
      return Challenge{"Password:"};
    }
    if (response.empty() || response.size() > kLongestPassword) return malformed("LOGIN: password");
    return CheckPassword{authcid_, "", Secret(response)};
  }
  ServerStep decide(bool accepted) override { return accepted ? ServerStep(Success{authcid_, ""}) : wrong(); }

 private:
  std::string authcid_;
};

/// CRAM-MD5 (RFC 2195).
class CramServer final : public ServerExchange {
 public:
  explicit CramServer(std::string challenge) : challenge_(std::move(challenge)) {}
  ServerStep start(std::optional<std::string_view> initial_response) override {
    if (initial_response) return malformed("CRAM-MD5: the server speaks first");
    return Challenge{challenge_};
  }
  ServerStep step(std::string_view response) override {
    const auto space = response.rfind(' ');  // the name may hold blanks
    if (space == std::string_view::npos || space == 0 || space > kLongestName)
      return malformed("CRAM-MD5: not name and digest");
    authcid_ = response.substr(0, space);
    digest_ = to_lower(response.substr(space + 1));
    if (digest_.size() != 32 || !is_utf8(authcid_)) return malformed("CRAM-MD5: not name and digest");
    return NeedSecret{authcid_};
  }
  ServerStep give_secret(const std::optional<Secret>& secret) override {
    // An unknown user costs the same computation.
    const auto expected = cram_md5(secret ? secret->text() : std::string_view("no such user"), challenge_);
    if (!equal_secrets(expected, digest_) || !secret) return wrong();
    return Success{authcid_, ""};
  }

 private:
  std::string challenge_, authcid_, digest_;
};

/// EXTERNAL (RFC 4422 appendix A): the channel has authenticated already.
class ExternalServer final : public ServerExchange {
 public:
  explicit ExternalServer(std::string identity) : identity_(std::move(identity)) {}
  ServerStep start(std::optional<std::string_view> initial_response) override {
    return initial_response ? step(*initial_response) : Challenge{};
  }
  ServerStep step(std::string_view response) override {
    if (response.size() > kLongestName || response.find('\0') != std::string_view::npos || !is_utf8(response))
      return malformed("EXTERNAL: authzid");
    if (identity_.empty()) return wrong();
    return Success{identity_, std::string(response)};
  }

 private:
  std::string identity_;
};

constexpr std::array<std::string_view, 6> kNames{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN",
                                                 "LOGIN",         "CRAM-MD5",    "EXTERNAL"};

bool has_binding(const ServerPolicy& policy, const Channel& channel) {
  if (!policy.channel_binding) return false;
  return !channel.tls_exporter.empty() || !channel.tls_server_end_point.empty();
}
bool sends_password(std::string_view name) { return iequals(name, "PLAIN") || iequals(name, "LOGIN"); }

bool usable(std::string_view name, const ServerPolicy& policy, const Channel& channel) {
  if (iequals(name, "EXTERNAL")) return !channel.external_identity.empty();
  if (iequals(name, "CRAM-MD5")) return policy.keep_plain_secrets;
  return is_known_mechanism(name);
}

bool enabled(std::string_view name, const ServerPolicy& policy) {
  return std::ranges::any_of(policy.mechanisms, [&](const auto& other) { return iequals(other, name); });
}

}  // namespace

ServerStep ServerExchange::decide(bool) { return malformed("no password was asked for"); }
ServerStep ServerExchange::give_keys(const ScramKeys&, bool) { return malformed("no keys were asked for"); }
ServerStep ServerExchange::give_secret(const std::optional<Secret>&) { return malformed("no secret was asked for"); }

bool is_known_mechanism(std::string_view name) {
  return std::ranges::any_of(kNames, [&](auto known) { return iequals(known, name); });
}

std::vector<std::string> announced_mechanisms(const ServerPolicy& policy, const Channel& channel) {
  std::vector<std::string> names;
  for (const auto& name : policy.mechanisms) {
    if (!usable(name, policy, channel)) continue;
    if (sends_password(name) && !channel.encrypted && !policy.allow_plaintext) continue;
    if (scram_name(name) && has_binding(policy, channel)) names.push_back(to_upper(name) + "-PLUS");
    names.push_back(to_upper(name));
  }
  return names;
}

Result<std::unique_ptr<ServerExchange>> begin_server(std::string_view mechanism, const ServerPolicy& policy,
                                                     const Channel& channel) {
  const auto unknown = [&] {
    return fail(Error::Kind::not_found,
                concat({"SASL mechanism ", printable(mechanism.substr(0, 40)), " is not offered"}));
  };
  if (const auto scram = scram_name(mechanism)) {
    const auto base = scram->plus ? mechanism.substr(0, mechanism.size() - 5) : mechanism;
    if (!enabled(base, policy) || (scram->plus && !has_binding(policy, channel))) return unknown();
    return begin_scram_server(*scram, channel, has_binding(policy, channel), random_token(24));
  }
  if (!enabled(mechanism, policy) || !usable(mechanism, policy, channel)) return unknown();
  if (sends_password(mechanism) && !channel.encrypted && !policy.allow_plaintext)
    return fail(Error::Kind::refused, concat({to_upper(mechanism), " needs TLS first"}));
  if (iequals(mechanism, "PLAIN")) return std::make_unique<PlainServer>();
  if (iequals(mechanism, "LOGIN")) return std::make_unique<LoginServer>();
  if (iequals(mechanism, "CRAM-MD5"))
    return std::make_unique<CramServer>(
        concat({"<", random_token(24), "@", policy.host_name.empty() ? "localhost" : policy.host_name, ">"}));
  return std::make_unique<ExternalServer>(channel.external_identity);
}

}  // namespace mail::sasl
