// The PROXY protocol, versions 1 and 2: what a load balancer says before the client's own octets. A core: octets in,
// addresses out.
#pragma once
#include <optional>
#include <string_view>

#include "base/result.h"
#include "net/address.h"

namespace mail::net {

struct ProxyHeader {
  std::size_t octets = 0;  ///< How much of the input the header is; what follows is the client's.
  /// Absent for LOCAL (health checks) and UNKNOWN: the connection's own addresses stand.
  std::optional<SocketAddress> source;
  std::optional<SocketAddress> destination;
};

/// Longest header that is read: version 2 says its length in 16 bits, but addresses and the extensions in use fit in
/// far less.
inline constexpr std::size_t kMostProxyOctets = 4096;

/// @return nothing while octets are missing; syntax where it is no PROXY header. All given octets are the header's
/// until it is complete.
Result<std::optional<ProxyHeader>> parse_proxy_header(std::string_view octets);

}  // namespace mail::net
