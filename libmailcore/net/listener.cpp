#include "net/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "base/strings.h"

namespace mail::net {
namespace {

constexpr int kBacklog = 4096;

tl::unexpected<Error> bind_error(const Listen& listen, const SocketAddress& address, int number) {
  const auto where = concat({"cannot listen on ", address.to_string(), " (", listen.name, "): "});
  switch (number) {
    case EACCES:
    case EPERM:
      if (address.is_unix()) return tl::unexpected(Error{Error::Kind::refused, where + std::strerror(number), number});
      return tl::unexpected(
          Error{Error::Kind::refused,
                concat({where,
                        "ports below 1024 are for root: start as root, by systemd or inetd, give the program "
                        "CAP_NET_BIND_SERVICE, or use a port such as ",
                        decimal(address.port + 2500)}),
                number});
    case EADDRINUSE:
      return tl::unexpected(
          Error{Error::Kind::temporary,
                concat({where, "in use by another program (",
                        address.is_unix() ? "is it running already?"
                                          : concat({"\"ss -ltnp sport = :", decimal(address.port), "\" shows which)"}),
                        address.is_unix() ? ")" : ""}),
                number});
    case EADDRNOTAVAIL:
      return tl::unexpected(
          Error{Error::Kind::permanent, where + "no network interface of this host has this address", number});
    default:
      return tl::unexpected(Error{Error::Kind::permanent, where + std::strerror(number), number});
  }
}

/// A socket file without a listener is left over from a process that was killed.
void remove_stale_socket(const SocketAddress& address) {
  struct stat info {};
  if (lstat(address.unix_path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage storage{};
  const auto octets = address.to(storage);
  if (probe && connect(probe.get(), reinterpret_cast<sockaddr*>(&storage), octets) != 0 && errno == ECONNREFUSED)
    unlink(address.unix_path.c_str());
}

Result<ListeningSocket> bind_address(const Listen& listen, const SocketAddress& address) {
  sockaddr_storage storage{};
  const auto octets = address.to(storage);
  if (address.is_unix()) remove_stale_socket(address);
  UniqueFd fd(socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return bind_error(listen, address, errno);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (storage.ss_family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const mode_t before = umask(0117);  // a Unix socket: owner and group
  const int bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), octets);
  const int number = errno;
  umask(before);
  if (bound != 0) return bind_error(listen, address, number);
  if (::listen(fd.get(), kBacklog) != 0) return bind_error(listen, address, errno);
  auto real = local_address(fd.get());
  return ListeningSocket{std::move(fd), listen, std::move(real), address.is_unix()};
}

Result<std::vector<ListeningSocket>> bind_everywhere(const Listen& listen) {
  std::vector<ListeningSocket> out;
  SocketAddress six{*IpAddress::parse("::"), listen.endpoint.port, {}};
  SocketAddress four{{}, listen.endpoint.port, {}};
  auto first = bind_address(listen, six);
  const bool no_ipv6 = !first && (first.error().system == EAFNOSUPPORT || first.error().system == EADDRNOTAVAIL);
  if (!first && !no_ipv6) return tl::unexpected(std::move(first).error());
  if (first) {
    four.port = first->address.port;
    out.push_back(std::move(*first));
  }
  MAIL_TRY(second, bind_address(listen, four));
  out.push_back(std::move(second));
  return out;
}

}  // namespace

Result<std::vector<ListeningSocket>> bind_endpoint(const Listen& listen) {
  if (listen.endpoint.host == "*") return bind_everywhere(listen);
  const auto text = listen.endpoint.host == "localhost" ? concat({"127.0.0.1:", decimal(listen.endpoint.port)})
                                                        : listen.endpoint.to_string();
  auto address = SocketAddress::parse(text);
  if (!address)
    return fail(Error::Kind::permanent, concat({"cannot listen on ", printable(text), " (", listen.name,
                                                "): an address of this host is needed, not a name"}));
  std::vector<ListeningSocket> out;
  MAIL_TRY(socket, bind_address(listen, *address));
  out.push_back(std::move(socket));
  return out;
}

Result<std::vector<ListeningSocket>> systemd_sockets(const std::vector<Listen>& listeners) {
  constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
  const auto count =
      parse_decimal<int>(std::getenv("LISTEN_FDS") != nullptr ? std::getenv("LISTEN_FDS") : "").value_or(0);
  const char* const names_text = std::getenv("LISTEN_FDNAMES");
  std::vector<std::string> names;
  if (names_text != nullptr)
    for (const auto name : split(names_text, ':')) names.emplace_back(name);
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDNAMES");
  std::vector<ListeningSocket> out;
  for (int i = 0; i < count; ++i) {
    UniqueFd fd(kFirst + i);
    fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
    fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    auto address = local_address(fd.get());
    const auto& name = static_cast<std::size_t>(i) < names.size() ? names[static_cast<std::size_t>(i)] : "";
    const Listen* match = nullptr;
    for (const auto& listen : listeners)
      if (match == nullptr && listen.name == name) match = &listen;
    for (const auto& listen : listeners) {
      const auto wanted = SocketAddress::parse(listen.endpoint.to_string());
      const bool everywhere = listen.endpoint.host == "*" && !address.is_unix() && address.ip.is_unspecified();
      if (match == nullptr && ((wanted && *wanted == address) || (everywhere && listen.endpoint.port == address.port)))
        match = &listen;
    }
    if (match == nullptr && listeners.size() == 1) match = &listeners.front();
    if (match == nullptr)
      return fail(Error::Kind::permanent, concat({"systemd gave a socket ", address.to_string(), " named \"",
                                                  printable(name), "\": no listener has this name or address"}));
    out.push_back({std::move(fd), *match, std::move(address), false});
  }
  return out;
}

namespace {

/// Copies until the end of `from`; blocking, in a thread of its own.
void carry(int from, int to) {
  char buffer[16384];
  for (;;) {
    const auto got = read(from, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    for (ssize_t at = 0; at < got;) {
      const auto sent = write(to, buffer + at, static_cast<std::size_t>(got - at));
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return;
      at += sent;
    }
  }
}

}  // namespace

Result<InheritedStream> inherited_stream() {
  struct stat info {};
  if (fstat(0, &info) != 0) return fail_errno("descriptor 0");
  InheritedStream out;
  if (S_ISSOCK(info.st_mode)) {
    out.fd.reset(fcntl(0, F_DUPFD_CLOEXEC, 3));
    if (!out.fd) return fail_errno("descriptor 0");
    fcntl(out.fd.get(), F_SETFL, O_NONBLOCK);
    out.finish = [] {};
    return out;
  }
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return fail_errno("socketpair");
  out.fd.reset(pair[0]);
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  std::thread([inner = pair[1]] {
    carry(0, inner);
    shutdown(inner, SHUT_WR);
  }).detach();  // may wait for a terminal for ever
  auto writer = std::make_shared<std::thread>([inner = pair[1]] { carry(inner, 1); });
  out.finish = [writer] { writer->join(); };
  return out;
}

}  // namespace mail::net
