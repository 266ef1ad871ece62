#include "net/blocking_transport.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/freed.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "net/tls_stream.h"

namespace mail::net {

using std::chrono::milliseconds;

struct BlockingTransport::Impl {
  UniqueFd read_fd;
  UniqueFd write_fd;  // empty: read_fd is a socket
  std::unique_ptr<TlsStream> tls;
  milliseconds timeout{60'000};
  SocketAddress peer, local;

  int out() const { return write_fd ? write_fd.get() : read_fd.get(); }
  Status wait(int fd, short events) const {
    pollfd one{fd, events, 0};
    for (;;) {
      const int ready = poll(&one, 1, static_cast<int>(std::min<std::int64_t>(timeout.count(), 1 << 30)));
      if (ready > 0) return {};
      if (ready == 0)
        return tl::unexpected(Error{Error::Kind::temporary, "no answer within the time limit", ETIMEDOUT});
      if (errno != EINTR) return fail_errno("poll");
    }
  }
  /// Waits as OpenSSL asks; an error for everything that ends the stream.
  Status obey(TlsStream::Outcome outcome) const {
    switch (outcome) {
      case TlsStream::Outcome::wants_read:
        return wait(read_fd.get(), POLLIN);
      case TlsStream::Outcome::wants_write:
        return wait(out(), POLLOUT);
      case TlsStream::Outcome::failed:
        return fail(Error::Kind::refused, "TLS: " + tls->error_text());
      default:
        return fail(Error::Kind::temporary, "TLS: " + tls->error_text());
    }
  }
};

BlockingTransport::BlockingTransport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlockingTransport::BlockingTransport(BlockingTransport&&) noexcept = default;
BlockingTransport& BlockingTransport::operator=(BlockingTransport&&) noexcept = default;
BlockingTransport::~BlockingTransport() {
  if (impl_) close();
}

namespace {

void set_non_blocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

Result<UniqueFd> connect_to(const SocketAddress& to, milliseconds timeout) {
  sockaddr_storage storage{};
  const auto octets = to.to(storage);
  UniqueFd fd(socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  int number = connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0 ? 0 : errno;
  if (number == EINPROGRESS) {
    pollfd one{fd.get(), POLLOUT, 0};
    const int ready = poll(&one, 1, static_cast<int>(timeout.count()));
    socklen_t length = sizeof number;
    if (ready <= 0)
      number = ETIMEDOUT;
    else
      getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &number, &length);
  }
  if (number != 0)
    return tl::unexpected(
        Error{Error::Kind::temporary, concat({"connect ", to.to_string(), ": ", std::strerror(number)}), number});
  const int on = 1;
  if (!to.is_unix()) setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

Result<std::vector<SocketAddress>> addresses_of(const std::string& host, std::uint16_t port) {
  std::vector<SocketAddress> out;
  if (host.starts_with("unix:")) {
    MAIL_TRY(address, SocketAddress::parse(host));
    out.push_back(address);
    return out;
  }
  if (const auto ip = IpAddress::parse(host)) return std::vector{SocketAddress{*ip, port, {}}};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int status = getaddrinfo(host.c_str(), decimal(port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, Freed<freeaddrinfo>> owner(found);
  if (status == EAI_NONAME || status == EAI_NODATA)
    return fail(Error::Kind::not_found, concat({"no host is named ", printable(host)}));
  if (status != 0)
    return fail(Error::Kind::temporary, concat({"look-up of ", printable(host), ": ", gai_strerror(status)}));
  for (const auto* each = found; each != nullptr; each = each->ai_next)
    out.push_back(SocketAddress::from(each->ai_addr, each->ai_addrlen));
  return out;
}

}  // namespace

Result<BlockingTransport> BlockingTransport::connect(const std::string& host, std::uint16_t port,
                                                     milliseconds timeout) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes with write(2)
  MAIL_TRY(addresses, addresses_of(host, port));
  Error last{Error::Kind::not_found, concat({"no address for ", printable(host)}), 0};
  for (const auto& address : addresses) {
    auto fd = connect_to(address, timeout);
    if (!fd) {
      last = std::move(fd).error();
      continue;
    }
    auto impl = std::make_unique<Impl>();
    impl->read_fd = std::move(*fd);
    impl->timeout = timeout;
    impl->peer = address;
    impl->local = local_address(impl->read_fd.get());
    return BlockingTransport(std::move(impl));
  }
  return tl::unexpected(std::move(last));
}

BlockingTransport BlockingTransport::over(int read_fd, int write_fd) {
  auto impl = std::make_unique<Impl>();
  set_non_blocking(read_fd);
  set_non_blocking(write_fd);
  impl->read_fd.reset(read_fd);
  if (write_fd != read_fd) impl->write_fd.reset(write_fd);
  return BlockingTransport(std::move(impl));
}

Status BlockingTransport::start_tls(std::shared_ptr<const TlsContext> context, const TlsPeer& peer) {
  MAIL_TRY(stream, TlsStream::client(std::move(context), impl_->read_fd.get(), peer));
  impl_->tls = std::move(stream);
  for (;;) {
    const auto outcome = impl_->tls->handshake();
    if (outcome == TlsStream::Outcome::done) return {};
    MAIL_CHECK(impl_->obey(outcome));
  }
}

Result<std::string> BlockingTransport::read_some() {
  std::string buffer(65536, '\0');
  for (;;) {
    if (impl_->tls) {
      const auto [outcome, octets] = impl_->tls->read(buffer.data(), buffer.size());
      if (outcome == TlsStream::Outcome::ended) return std::string();
      buffer.resize(octets);
      if (outcome == TlsStream::Outcome::done) return buffer;
      buffer.resize(65536);
      MAIL_CHECK(impl_->obey(outcome));
      continue;
    }
    const auto got = read(impl_->read_fd.get(), buffer.data(), buffer.size());
    if (got >= 0) {
      buffer.resize(static_cast<std::size_t>(got));
      return buffer;
    }
    if (errno == EAGAIN)
      MAIL_CHECK(impl_->wait(impl_->read_fd.get(), POLLIN));
    else if (errno != EINTR)
      return fail_errno("read from", impl_->peer.to_string());
  }
}

Status BlockingTransport::write_all(std::string_view octets) {
  while (!octets.empty()) {
    if (impl_->tls) {
      const auto [outcome, written] = impl_->tls->write(octets.data(), octets.size());
      octets.remove_prefix(written);
      if (outcome != TlsStream::Outcome::done) MAIL_CHECK(impl_->obey(outcome));
      continue;
    }
    const auto written = write(impl_->out(), octets.data(), octets.size());
    if (written >= 0) {
      octets.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      MAIL_CHECK(impl_->wait(impl_->out(), POLLOUT));
    } else if (errno != EINTR) {
      return fail_errno("write to", impl_->peer.to_string());
    }
  }
  return {};
}

void BlockingTransport::set_timeout(milliseconds each_read_or_write) { impl_->timeout = each_read_or_write; }

std::optional<TlsInfo> BlockingTransport::tls_info() const {
  if (!impl_->tls) return std::nullopt;
  return impl_->tls->info();
}
std::string BlockingTransport::tls_exporter() const { return impl_->tls ? impl_->tls->exporter() : std::string(); }
std::string BlockingTransport::tls_server_end_point() const {
  return impl_->tls ? impl_->tls->server_end_point() : std::string();
}
SocketAddress BlockingTransport::peer() const { return impl_->peer; }
SocketAddress BlockingTransport::local() const { return impl_->local; }
int BlockingTransport::fd() const { return impl_->read_fd.get(); }

void BlockingTransport::close() {
  if (impl_->tls) impl_->tls->close_notify();
  impl_->tls.reset();
  impl_->read_fd.reset();
  impl_->write_fd.reset();
}

}  // namespace mail::net
