// What relais.toml means for the SMTP sessions of each listener.
#pragma once
#include <vector>

#include "config/settings.h"
#include "net/server.h"
#include "sasl/server.h"
#include "smtp/extensions.h"

namespace mail::mta {

/// net::Listen::tag of serve's listeners.
enum class Service : int { smtp, submission, submissions };

std::vector<net::Listen> listeners_of(const config::Settings& settings);
/// @param tls  there is a certificate
smtp::ServerSettings session_settings(const config::Settings& settings, Service service,
                                      const sasl::ServerPolicy& policy, bool tls);
bool contains(const config::Networks& networks, const net::SocketAddress& address);

}  // namespace mail::mta
