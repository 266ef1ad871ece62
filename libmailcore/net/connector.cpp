#include "net/connector.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/strings.h"

namespace mail::net {

struct Connector::Impl : std::enable_shared_from_this<Connector::Impl> {
  Impl(Loop& l, SocketAddress address, Callback c)
      : loop(l), to(std::move(address)), callback(std::move(c)), timer(l, [this] { done(ETIMEDOUT); }) {}

  /// The first step: an errno, or 0 where the connection is made or in the making.
  int begin(const std::optional<SocketAddress>& source) {
    sockaddr_storage storage{};
    const auto octets = to.to(storage);
    fd.reset(socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return errno;
    if (source && !to.is_unix()) {
      sockaddr_storage from{};
      const auto from_octets = source->to(from);
      const int on = 1;
      setsockopt(fd.get(), IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on,
                 sizeof on);  // ports are chosen at connect()
      if (bind(fd.get(), reinterpret_cast<sockaddr*>(&from), from_octets) != 0) return errno;
    }
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0) return 0;
    return errno == EINPROGRESS ? 0 : errno;
  }

  void finished() {
    int number = 0;
    socklen_t octets = sizeof number;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &number, &octets) != 0) number = errno;
    done(number);
  }

  void done(int number) {
    const auto keep = shared_from_this();  // the callback may destroy the Connector
    timer.cancel();
    watch.reset();
    if (!callback) return;
    auto call = std::move(callback);
    callback = nullptr;
    if (number != 0) {
      Error error{Error::Kind::temporary, concat({"connect ", to.to_string(), ": ", std::strerror(number)}), number};
      return call(tl::unexpected(std::move(error)));
    }
    auto local = local_address(fd.get());
    call(std::make_unique<Connection>(loop, std::move(fd), std::move(local), to));
  }

  Loop& loop;
  SocketAddress to;
  Callback callback;
  UniqueFd fd;
  std::unique_ptr<Watch> watch;
  Timer timer;
};

Connector::Connector(Loop& loop, const SocketAddress& to, std::chrono::milliseconds timeout, Callback callback,
                     const std::optional<SocketAddress>& source)
    : impl_(std::make_shared<Impl>(loop, to, std::move(callback))) {
  if (const int number = impl_->begin(source); number != 0) {
    loop.defer([weak = std::weak_ptr(impl_), number] {
      if (const auto impl = weak.lock()) impl->done(number);
    });
    return;
  }
  impl_->timer.start(timeout);
  impl_->watch =
      std::make_unique<Watch>(loop, impl_->fd.get(), Watch::For::writing, [impl = impl_.get()] { impl->finished(); });
}

Connector::~Connector() {
  impl_->callback = nullptr;
  impl_->watch.reset();
  impl_->timer.cancel();
}

}  // namespace mail::net
