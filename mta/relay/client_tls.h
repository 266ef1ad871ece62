// The TLS context that all connections of the relay share.
#pragma once
#include <functional>
#include <memory>

#include "net/tls_context.h"

namespace mail::relay {

/// Makes the client's TLS context when a connection first needs it (OpenSSL reads a hundred certificates for it); null
/// where it cannot be made.
using ClientTls = std::function<std::shared_ptr<const net::TlsContext>()>;
/// Made once; what is wrong with it is said once, in the log. `settings` must outlive it.
ClientTls client_tls(const config::Tls& settings);

}  // namespace mail::relay
