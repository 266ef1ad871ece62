// Socket addresses: IP address and port, or a Unix socket's path.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ip_address.h"
#include "base/result.h"

struct sockaddr;
struct sockaddr_storage;

namespace mail::net {

struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;
  std::string unix_path;  ///< Not empty: a Unix socket; `ip` and `port` mean nothing.
  bool is_unix() const { return !unix_path.empty(); }
  /// "192.0.2.1:25", "[2001:db8::1]:25", "unix:/run/x".
  std::string to_string() const;
  /// The same grammar; no names, no "*".
  static Result<SocketAddress> parse(std::string_view text);
  static SocketAddress from(const sockaddr* address, std::size_t octets);
  /// Fills `storage`; the octets used.
  unsigned to(sockaddr_storage& storage) const;
  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
};

/// getsockname() and getpeername(); an unspecified address where the descriptor is no socket (inetd on a pipe).
SocketAddress local_address(int fd);
SocketAddress peer_address(int fd);

}  // namespace mail::net
