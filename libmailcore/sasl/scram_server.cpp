// The server's conversation of SCRAM (RFC 5802, 7677; channel bindings RFC 5929, 9266).
#include "base/strings.h"
#include "sasl/digest.h"
#include "sasl/scram.h"

namespace mail::sasl {
namespace {

ServerStep malformed(std::string text) { return Failure{true, std::move(text)}; }

class ScramServer final : public ServerExchange {
 public:
  ScramServer(ScramName name, Channel channel, bool plus_announced, std::string nonce)
      : name_(name), channel_(std::move(channel)), plus_announced_(plus_announced), nonce_(std::move(nonce)) {}

  ServerStep start(std::optional<std::string_view> initial_response) override {
    if (!initial_response) return Challenge{};
    return take_first(*initial_response);
  }

  ServerStep step(std::string_view response) override {
    switch (state_) {
      case State::first:
        return take_first(response);
      case State::final:
        return take_final(response);
      case State::finished:
        if (!response.empty()) return malformed("SCRAM: text after the server's proof");
        return Success{first_.user, first_.authzid};
      case State::keys:
        break;
    }
    return malformed("SCRAM: response out of order");
  }

  ServerStep give_keys(const ScramKeys& keys, bool known) override {
    keys_ = keys, known_ = known;
    nonce_ = first_.nonce + nonce_;
    server_first_ = concat({"r=", nonce_, ",s=", to_base64(keys.salt), ",i=", decimal(keys.iterations)});
    state_ = State::final;
    return Challenge{server_first_};
  }

 private:
  enum class State { first, keys, final, finished };

  ServerStep take_first(std::string_view message) {
    auto first = parse_client_first(message);
    if (!first) return malformed(first.error().text);
    first_ = std::move(*first);
    // A client that has bindings and was told of none, while we told: somebody cut our list (RFC 5802 section 6).
    if (first_.flag == BindingFlag::not_offered && plus_announced_)
      return malformed("SCRAM: the list of mechanisms was tampered with");
    if (name_.plus != (first_.flag == BindingFlag::used))
      return malformed("SCRAM: channel binding flag does not fit the mechanism");
    if (name_.plus && binding_octets().empty())
      return malformed(concat({"SCRAM: channel binding ", first_.binding, " is not known here"}));
    state_ = State::keys;
    const auto prepared = saslprep(first_.user);
    if (!prepared || prepared->empty()) return malformed("SCRAM: user name has prohibited characters");
    first_.user = *prepared;
    return NeedScramKeys{first_.user, name_.hash};
  }

  const std::string& binding_octets() const {
    static const std::string kNone;
    if (first_.binding == "tls-exporter") return channel_.tls_exporter;
    if (first_.binding == "tls-server-end-point") return channel_.tls_server_end_point;
    return kNone;
  }

  ServerStep take_final(std::string_view message) {
    const auto last = parse_client_final(message);
    if (!last) return malformed(last.error().text);
    const auto* algorithm = algorithm_of(name_.hash);
    const auto expected =
        concat({first_.gs2_header, name_.plus ? std::string_view(binding_octets()) : std::string_view()});
    const auto auth_message = concat({first_.bare, ",", server_first_, ",", last->without_proof});
    const auto signature = hmac(algorithm, keys_.stored_key, auth_message);
    bool right = last->proof.size() == signature.size();
    if (right) {
      Secret client_key(last->proof);
      std::string key = client_key.text();
      for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<char>(key[i] ^ signature[i]);
      right = equal_secrets(digest(algorithm, key), keys_.stored_key);
      cleanse(key);
    }
    // All is compared before any of it decides, so that the time tells nothing.
    const bool bound = equal_secrets(last->binding, expected);
    const bool same_nonce = equal_secrets(last->nonce, nonce_);
    if (!bound || !same_nonce || !right || !known_) return Failure{false, "SCRAM: wrong proof"};
    state_ = State::finished;
    return Challenge{concat({"v=", to_base64(hmac(algorithm, keys_.server_key, auth_message))})};
  }

  ScramName name_;
  Channel channel_;
  bool plus_announced_;
  std::string nonce_;
  ScramClientFirst first_;
  ScramKeys keys_;
  bool known_ = false;
  std::string server_first_;
  State state_ = State::first;
};

}  // namespace

std::unique_ptr<ServerExchange> begin_scram_server(ScramName name, const Channel& channel, bool plus_announced,
                                                   std::string nonce) {
  return std::make_unique<ScramServer>(name, channel, plus_announced, std::move(nonce));
}

}  // namespace mail::sasl
