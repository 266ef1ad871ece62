#include "net/address.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/strings.h"
#include "config/values.h"

namespace mail::net {

std::string SocketAddress::to_string() const {
  if (is_unix()) return "unix:" + unix_path;
  return concat({ip.is_v6() ? "[" : "", ip.to_string(), ip.is_v6() ? "]:" : ":", decimal(port)});
}

Result<SocketAddress> SocketAddress::parse(std::string_view text) {
  const auto endpoint = config::Endpoint::parse(text);
  SocketAddress out;
  if (endpoint && !endpoint->path.empty()) {
    out.unix_path = endpoint->path;
    return out;
  }
  const auto ip = endpoint ? IpAddress::parse(endpoint->host) : std::nullopt;
  if (!ip) return fail(Error::Kind::syntax, concat({"not an address: ", printable(text)}));
  out.ip = *ip;
  out.port = endpoint->port;
  return out;
}

SocketAddress SocketAddress::from(const sockaddr* address, std::size_t octets) {
  SocketAddress out;
  if (octets < sizeof(sa_family_t)) return out;
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, std::min(octets, sizeof v4));
    out.ip = IpAddress::v4(&v4.sin_addr);
    out.port = ntohs(v4.sin_port);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, std::min(octets, sizeof v6));
    out.ip = IpAddress::v6(&v6.sin6_addr);
    out.port = ntohs(v6.sin6_port);
  } else if (address->sa_family == AF_UNIX) {
    sockaddr_un local{};
    std::memcpy(&local, address, std::min(octets, sizeof local));
    const std::size_t most = std::min(octets, sizeof local);
    if (most > offsetof(sockaddr_un, sun_path) && local.sun_path[0] != '\0')
      out.unix_path.assign(local.sun_path, strnlen(local.sun_path, most - offsetof(sockaddr_un, sun_path)));
    else
      out.unix_path = "unnamed";  // a connecting peer's, usually
  }
  return out;
}

unsigned SocketAddress::to(sockaddr_storage& storage) const {
  std::memset(&storage, 0, sizeof storage);
  if (is_unix()) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, unix_path.data(), std::min(unix_path.size(), sizeof local.sun_path - 1));
    std::memcpy(&storage, &local, sizeof local);
    return sizeof local;
  }
  if (ip.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, ip.octets().data(), 4);
    std::memcpy(&storage, &v4, sizeof v4);
    return sizeof v4;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, ip.octets().data(), 16);
  std::memcpy(&storage, &v6, sizeof v6);
  return sizeof v6;
}

SocketAddress local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t octets = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &octets) != 0) return {};
  return SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), octets);
}

SocketAddress peer_address(int fd) {
  sockaddr_storage storage{};
  socklen_t octets = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &octets) != 0) return {};
  return SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), octets);
}

}  // namespace mail::net
