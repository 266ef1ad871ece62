// The client side of a SASL exchange (RFC 4422): challenges in, responses out, base64 is the protocol's.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sasl/channel.h"
#include "sasl/password.h"

namespace mail::sasl {

struct ClientCredentials {
  std::string user;
  Secret password;
  Secret token;         ///< OAuth 2 access token: OAUTHBEARER and XOAUTH2 are used with it, and only with it.
  std::string authzid;  ///< To act as somebody else; empty: as `user`.
  std::string host;     ///< OAUTHBEARER tells it.
  int port = 0;
};

class ClientExchange {
 public:
  virtual ~ClientExchange() = default;
  virtual std::string_view mechanism() const = 0;
  /// The initial response where the mechanism has the client speak first; nothing else.
  virtual std::optional<std::string> initial_response() = 0;
  /// The response to a challenge. @return refused where the server failed to prove that it knows the password, syntax
  /// for a broken challenge: cancel with "*" and hang up.
  [[nodiscard]] virtual Result<std::string> step(std::string_view challenge) = 0;
  /// The server says that the exchange succeeded. @return refused where a mechanism with mutual authentication (SCRAM)
  /// has not seen the proof.
  [[nodiscard]] virtual Status succeeded() const { return {}; }
};

/// @param offered  what the server announced, where known: it lets SCRAM notice a list that was cut by somebody on the
/// way (RFC 5802 section 6).
/// @return not_found for a mechanism that is not known or that these credentials do not fit.
[[nodiscard]] Result<std::unique_ptr<ClientExchange>> begin_client(std::string_view mechanism,
                                                                   const ClientCredentials& credentials,
                                                                   const Channel& channel,
                                                                   const std::vector<std::string>& offered = {});

/// The strongest of the offered mechanisms that fits: with a token OAUTHBEARER, XOAUTH2; else SCRAM-SHA-256-PLUS,
/// SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1, and (only on an encrypted channel, or with `plaintext`) PLAIN, LOGIN;
/// CRAM-MD5 last in clear text. EXTERNAL where there is no user name.
std::optional<std::string> choose_mechanism(const std::vector<std::string>& offered,
                                            const ClientCredentials& credentials, const Channel& channel,
                                            bool plaintext = false);

}  // namespace mail::sasl
