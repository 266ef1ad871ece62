// SCRAM's messages (RFC 5802 section 7), parsed and computed; server.cpp and client.cpp have the conversations.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sasl/client.h"
#include "sasl/password.h"
#include "sasl/server.h"

namespace mail::sasl {

enum class BindingFlag {
  none,         ///< "n": the client has no channel binding
  not_offered,  ///< "y": it has, and thinks that the server has not
  used,         ///< "p=NAME"
};

struct ScramClientFirst {
  BindingFlag flag = BindingFlag::none;
  std::string binding;  ///< tls-exporter, tls-server-end-point…
  std::string authzid;
  std::string user;
  std::string nonce;
  std::string gs2_header;  ///< Octets up to the second comma.
  std::string bare;        ///< The rest.
};
Result<ScramClientFirst> parse_client_first(std::string_view message);

struct ScramClientFinal {
  std::string binding;  ///< Decoded `c=`.
  std::string nonce;
  std::string proof;          ///< Decoded `p=`.
  std::string without_proof;  ///< The message up to ",p=".
};
Result<ScramClientFinal> parse_client_final(std::string_view message);

struct ScramServerFirst {
  std::string nonce;
  std::string salt;
  std::uint32_t iterations = 0;
};
Result<ScramServerFirst> parse_server_first(std::string_view message);

/// A saslname: ',' and '=' as =2C and =3D.
std::string to_saslname(std::string_view name);
std::optional<std::string> from_saslname(std::string_view text);

/// The mechanism's hash and whether it is a -PLUS; nothing for other names.
struct ScramName {
  ScramHash hash;
  bool plus;
};
std::optional<ScramName> scram_name(std::string_view mechanism);

/// `nonce`: this side's part, printable without comma; the callers take random ones, tests those of the RFC.
std::unique_ptr<ServerExchange> begin_scram_server(ScramName name, const Channel& channel, bool plus_announced,
                                                   std::string nonce);
std::unique_ptr<ClientExchange> begin_scram_client(ScramName name, std::string_view mechanism,
                                                   const ClientCredentials& credentials, const Channel& channel,
                                                   bool server_has_plus, std::string nonce);

}  // namespace mail::sasl
