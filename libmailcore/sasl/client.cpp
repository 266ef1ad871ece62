#include "sasl/client.h"

#include <algorithm>
#include <array>

#include "base/id.h"
#include "base/strings.h"
#include "sasl/digest.h"
#include "sasl/scram.h"

namespace mail::sasl {
namespace {

constexpr std::uint32_t kFewestIterations =
    4096;  // RFC 7677 section 4: less would let a false server try passwords cheaply

auto refused(std::string text) { return fail(Error::Kind::refused, std::move(text)); }

class PlainClient final : public ClientExchange {
 public:
  explicit PlainClient(const ClientCredentials& credentials) : credentials_(credentials) {}
  std::string_view mechanism() const override { return "PLAIN"; }
  std::optional<std::string> initial_response() override {
    static constexpr std::string_view kNul("\0", 1);
    return concat({credentials_.authzid, kNul, credentials_.user, kNul, credentials_.password.text()});
  }
  Result<std::string> step(std::string_view challenge) override {
    if (sent_ || !challenge.empty()) return fail(Error::Kind::syntax, "PLAIN: unexpected challenge");
    sent_ = true;
    return *initial_response();
  }

 private:
  ClientCredentials credentials_;
  bool sent_ = false;
};

class LoginClient final : public ClientExchange {
 public:
  explicit LoginClient(const ClientCredentials& credentials) : credentials_(credentials) {}
  std::string_view mechanism() const override { return "LOGIN"; }
  std::optional<std::string> initial_response() override { return std::nullopt; }
  Result<std::string> step(std::string_view) override {  // prompts differ from server to server; their order does not
    switch (count_++) {
      case 0:
        return credentials_.user;
      case 1:
        return credentials_.password.text();
      default:
        return fail(Error::Kind::syntax, "LOGIN: unexpected challenge");
    }
  }

 private:
  ClientCredentials credentials_;
  int count_ = 0;
};

class CramClient final : public ClientExchange {
 public:
  explicit CramClient(const ClientCredentials& credentials) : credentials_(credentials) {}
  std::string_view mechanism() const override { return "CRAM-MD5"; }
  std::optional<std::string> initial_response() override { return std::nullopt; }
  Result<std::string> step(std::string_view challenge) override {
    if (std::exchange(sent_, true)) return fail(Error::Kind::syntax, "CRAM-MD5: unexpected challenge");
    return concat({credentials_.user, " ", cram_md5(credentials_.password.text(), challenge)});
  }

 private:
  ClientCredentials credentials_;
  bool sent_ = false;
};

class ExternalClient final : public ClientExchange {
 public:
  explicit ExternalClient(std::string authzid) : authzid_(std::move(authzid)) {}
  std::string_view mechanism() const override { return "EXTERNAL"; }
  std::optional<std::string> initial_response() override { return authzid_; }
  Result<std::string> step(std::string_view) override {
    if (std::exchange(sent_, true)) return fail(Error::Kind::syntax, "EXTERNAL: unexpected challenge");
    return authzid_;
  }

 private:
  std::string authzid_;
  bool sent_ = false;
};

/// OAUTHBEARER (RFC 7628) and its forerunner XOAUTH2. A challenge after the token is the server's reason in JSON; a
/// dummy response lets it fail.
class BearerClient final : public ClientExchange {
 public:
  BearerClient(const ClientCredentials& credentials, bool old) : credentials_(credentials), old_(old) {}
  std::string_view mechanism() const override { return old_ ? "XOAUTH2" : "OAUTHBEARER"; }
  std::optional<std::string> initial_response() override {
    sent_ = true;
    if (old_)
      return concat({"user=", credentials_.user,
                     "\x01"
                     "auth=Bearer ",
                     credentials_.token.text(), "\x01\x01"});
    std::string out = concat({"n,a=", to_saslname(credentials_.user), ",\x01"});
    if (!credentials_.host.empty()) out += concat({"host=", credentials_.host, "\x01"});
    if (credentials_.port != 0) out += concat({"port=", decimal(credentials_.port), "\x01"});
    return out + concat({"auth=Bearer ", credentials_.token.text(), "\x01\x01"});
  }
  Result<std::string> step(std::string_view) override {
    if (!sent_) return *initial_response();
    return std::string(old_ ? "" : "\x01");
  }

 private:
  ClientCredentials credentials_;
  bool old_;
  bool sent_ = false;
};

class ScramClient final : public ClientExchange {
 public:
  ScramClient(ScramName name, std::string_view mechanism, const ClientCredentials& credentials, const Channel& channel,
              bool server_has_plus, std::string nonce)
      : name_(name), mechanism_(mechanism), credentials_(credentials), nonce_(std::move(nonce)) {
    // RFC 9266 section 3: tls-exporter before the older bindings.
    const bool exporter = !channel.tls_exporter.empty();
    const bool able = exporter || !channel.tls_server_end_point.empty();
    if (name_.plus) {
      gs2_header_ = exporter ? "p=tls-exporter," : "p=tls-server-end-point,";
      binding_ = exporter ? channel.tls_exporter : channel.tls_server_end_point;
    } else {
      gs2_header_ = able && !server_has_plus ? "y," : "n,";
    }
    if (!credentials_.authzid.empty()) gs2_header_ += "a=" + to_saslname(credentials_.authzid);
    gs2_header_ += ',';
    first_bare_ = concat({"n=", to_saslname(saslprep(credentials_.user).value_or(credentials_.user)), ",r=", nonce_});
  }

  std::string_view mechanism() const override { return mechanism_; }
  std::optional<std::string> initial_response() override {
    return state_ = State::first_sent, gs2_header_ + first_bare_;
  }

  Result<std::string> step(std::string_view challenge) override {
    switch (state_) {
      case State::start:
        if (!challenge.empty()) return fail(Error::Kind::syntax, "SCRAM: the client speaks first");
        return *initial_response();
      case State::first_sent:
        return answer_first(challenge);
      case State::final_sent:
        return check_final(challenge);
      case State::proved:
        break;
    }
    return fail(Error::Kind::syntax, "SCRAM: unexpected challenge");
  }
  Status succeeded() const override {
    if (state_ != State::proved) return refused("SCRAM: the server has not proved that it knows the password");
    return {};
  }

 private:
  enum class State { start, first_sent, final_sent, proved };

  Result<std::string> answer_first(std::string_view challenge) {
    MAIL_TRY(first, parse_server_first(challenge));
    if (!first.nonce.starts_with(nonce_) || first.nonce.size() == nonce_.size())
      return refused("SCRAM: the server did not use our nonce");
    if (first.iterations < kFewestIterations)
      return refused(concat({"SCRAM: only ", decimal(first.iterations), " iterations, 4096 are the least"}));
    const auto password = saslprep(credentials_.password.text());
    if (!password) return refused("the password has characters that SASLprep (RFC 4013) prohibits");
    const auto* algorithm = algorithm_of(name_.hash);
    Secret salted(pbkdf2(algorithm, *password, first.salt, first.iterations,
                         static_cast<std::size_t>(EVP_MD_get_size(algorithm))));
    Secret client_key(hmac(algorithm, salted.text(), "Client Key"));
    const auto without_proof = concat({"c=", to_base64(gs2_header_ + binding_), ",r=", first.nonce});
    const auto auth_message = concat({first_bare_, ",", challenge, ",", without_proof});
    auto proof = hmac(algorithm, digest(algorithm, client_key.text()), auth_message);
    for (std::size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<char>(proof[i] ^ client_key.text()[i]);
    server_signature_ = hmac(algorithm, hmac(algorithm, salted.text(), "Server Key"), auth_message);
    state_ = State::final_sent;
    return concat({without_proof, ",p=", to_base64(proof)});
  }

  Result<std::string> check_final(std::string_view challenge) {
    if (challenge.starts_with("e=")) return refused(concat({"SCRAM: ", printable(challenge.substr(2, 80))}));
    if (!challenge.starts_with("v=")) return fail(Error::Kind::syntax, "SCRAM: no server signature");
    const auto signature = from_base64(challenge.substr(
        2, challenge.find(',') == std::string_view::npos ? std::string_view::npos : challenge.find(',') - 2));
    if (!signature || !equal_secrets(*signature, server_signature_))
      return refused("SCRAM: the server does not know the password: it is not the one it says");
    state_ = State::proved;
    return std::string();
  }

  ScramName name_;
  std::string mechanism_;
  ClientCredentials credentials_;
  std::string nonce_, gs2_header_, binding_, first_bare_, server_signature_;
  State state_ = State::start;
};

bool offers(const std::vector<std::string>& offered, std::string_view name) {
  return std::ranges::any_of(offered, [&](const auto& other) { return iequals(other, name); });
}

bool has_binding(const Channel& channel) {
  return !channel.tls_exporter.empty() || !channel.tls_server_end_point.empty();
}

}  // namespace

std::unique_ptr<ClientExchange> begin_scram_client(ScramName name, std::string_view mechanism,
                                                   const ClientCredentials& credentials, const Channel& channel,
                                                   bool server_has_plus, std::string nonce) {
  return std::make_unique<ScramClient>(name, mechanism, credentials, channel, server_has_plus, std::move(nonce));
}

Result<std::unique_ptr<ClientExchange>> begin_client(std::string_view mechanism, const ClientCredentials& credentials,
                                                     const Channel& channel, const std::vector<std::string>& offered) {
  const auto unknown = [&] {
    return fail(Error::Kind::not_found,
                concat({"SASL mechanism ", printable(mechanism), " cannot be used with these credentials"}));
  };
  if (iequals(mechanism, "EXTERNAL")) return std::make_unique<ExternalClient>(credentials.authzid);
  if (credentials.user.empty() || credentials.user.find('\0') != std::string::npos) return unknown();
  if (iequals(mechanism, "OAUTHBEARER") || iequals(mechanism, "XOAUTH2")) {
    if (credentials.token.empty() || credentials.token.text().find('\x01') != std::string::npos) return unknown();
    return std::make_unique<BearerClient>(credentials, iequals(mechanism, "XOAUTH2"));
  }
  if (credentials.password.empty() || credentials.password.text().find('\0') != std::string::npos) return unknown();
  if (const auto scram = scram_name(mechanism)) {
    if (scram->plus && !has_binding(channel)) return unknown();
    // "y" only where the server's list is known and has no -PLUS at all; "n" claims nothing.
    const bool plus =
        offered.empty() || std::ranges::any_of(offered, [](const auto& name) { return iends_with(name, "-PLUS"); });
    return begin_scram_client(*scram, to_upper(mechanism), credentials, channel, plus, random_token(24));
  }
  if (iequals(mechanism, "PLAIN")) return std::make_unique<PlainClient>(credentials);
  if (iequals(mechanism, "LOGIN")) return std::make_unique<LoginClient>(credentials);
  if (iequals(mechanism, "CRAM-MD5")) return std::make_unique<CramClient>(credentials);
  return unknown();
}

std::optional<std::string> choose_mechanism(const std::vector<std::string>& offered,
                                            const ClientCredentials& credentials, const Channel& channel,
                                            bool plaintext) {
  std::vector<std::string_view> wanted;
  const bool open = channel.encrypted || plaintext;
  if (credentials.user.empty()) {
    wanted = {"EXTERNAL"};
  } else if (!credentials.token.empty()) {
    if (open) wanted = {"OAUTHBEARER", "XOAUTH2"};
  } else {
    if (has_binding(channel)) wanted = {"SCRAM-SHA-256-PLUS"};
    wanted.push_back("SCRAM-SHA-256");
    if (has_binding(channel)) wanted.push_back("SCRAM-SHA-1-PLUS");
    wanted.push_back("SCRAM-SHA-1");
    if (open) wanted.insert(wanted.end(), {"PLAIN", "LOGIN"});
    wanted.push_back("CRAM-MD5");
  }
  for (const auto name : wanted)
    if (offers(offered, name)) return std::string(name);
  return std::nullopt;
}

}  // namespace mail::sasl
