#include "net/arrival.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "net/proxy_header.h"

namespace mail::net {

Arrival::Arrival(Loop& loop, UniqueFd fd, SocketAddress local, SocketAddress peer, Needs needs, Admit admit)
    : loop_(loop),
      fd_(std::move(fd)),
      local_(std::move(local)),
      peer_(std::move(peer)),
      needs_(std::move(needs)),
      admit_(std::move(admit)) {}

void Arrival::start() {
  if (!needs_.proxy) return connect();
  proxy_ = peer_;
  timer_ = std::make_unique<Timer>(loop_, [this] { proxy_failed("none came in time"); });
  timer_->start(needs_.proxy_limit);
  watch_ = std::make_unique<Watch>(loop_, fd_.get(), Watch::For::reading, [this] { read_proxy_header(); });
}

/// Looks first and takes then: the octets behind the header are the session's, or TLS.
void Arrival::read_proxy_header() {
  char* const buffer = loop_.read_buffer();
  const auto seen = recv(fd_.get(), buffer, kMostProxyOctets - header_.size() + 1, MSG_PEEK);
  if (seen < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (seen <= 0) return proxy_failed(seen == 0 ? "connection ended" : std::strerror(errno));
  const std::size_t before = header_.size();
  header_.append(buffer, static_cast<std::size_t>(seen));
  const auto parsed = parse_proxy_header(header_);
  if (!parsed) return proxy_failed(parsed.error().text);
  const std::size_t take = *parsed ? (*parsed)->octets - before : static_cast<std::size_t>(seen);
  if (recv(fd_.get(), buffer, take, 0) != static_cast<ssize_t>(take)) return proxy_failed("connection ended");
  if (!*parsed) return;
  if ((*parsed)->source) {
    peer_ = *(*parsed)->source;
    local_ = *(*parsed)->destination;
  }
  connect();
}

void Arrival::proxy_failed(std::string_view why) {
  log_event(LogLevel::warning, "proxy-refused", {{"proxy", proxy_.to_string()}, {"reason", why}});
  watch_.reset();
  timer_.reset();
  fd_.reset();
  finish();
}

void Arrival::connect() {
  watch_.reset();
  timer_.reset();
  connection_ = std::make_unique<Connection>(loop_, std::move(fd_), std::move(local_), std::move(peer_));
  if (needs_.proxy && !admit_(*connection_)) {
    connection_.reset();
    return finish();
  }
  if (!needs_.tls) return finish();
  connection_->set_handler(this);
  connection_->set_timeout(needs_.tls_limit);
  connection_->start_tls(std::move(needs_.tls));
}

void Arrival::on_tls_started() {
  connection_->clear_timeout();
  finish();
}

void Arrival::on_closed(CloseReason reason) {
  log_event(LogLevel::info, "tls-handshake-failed",
            {{"client", connection_->peer().to_string()},
             {"reason", to_string(reason)},
             {"text", connection_->error_text()}});
  // The connection is still on the stack: it dies with the batch.
  loop_.defer([dead = std::shared_ptr<Connection>(std::move(connection_))] {});
  finish();
}

void Arrival::finish() {
  if (connection_) connection_->set_handler(nullptr);
  auto done = std::move(done_);
  done(std::move(connection_));
}

}  // namespace mail::net
