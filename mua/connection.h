// Connections to servers as mua makes them: TCP, TLS as the URL says, credentials. In the calling thread.
#pragma once
#include <functional>
#include <memory>

#include "mua/accounts.h"
#include "net/blocking_transport.h"
#include "sasl/client.h"

namespace mail::mua {

/// What is needed to log in; the password is asked for only when the server wants it.
struct Login {
  Url url;
  SecretSource password;
  SecretSource oauth_token;
  std::string ca_file;
};

/// Connects; TLS is on where the URL says so from the start.
Result<net::BlockingTransport> connect(const Login& login);
/// TLS on a connection that began in clear. The certificate must verify.
Status start_tls(net::BlockingTransport& transport, const Login& login);
/// Begins the strongest exchange that the server offers.
Result<std::unique_ptr<sasl::ClientExchange>> begin_login(const Login& login, net::BlockingTransport& transport,
                                                          const std::vector<std::string>& offered);

}  // namespace mail::mua
