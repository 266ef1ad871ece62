#include "net/server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "base/log.h"
#include "base/strings.h"
#include "net/admission.h"
#include "net/arrival.h"
#include "net/listener.h"

namespace mail::net {
namespace {

constexpr int kAcceptsPerBatch = 64;  // then other events have their turn
constexpr std::chrono::milliseconds kPauseWithoutDescriptors{100};

struct Accepted {
  UniqueFd fd;
  SocketAddress peer;
  std::size_t listener;
  std::shared_ptr<void> place;
};

}  // namespace

Session::Session(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {
  connection_->set_handler(this);
}
Session::~Session() = default;

void Session::on_closed(CloseReason reason) {
  if (ended_) return;
  ended_ = true;
  on_ended(reason);
  if (forget_) forget_(this);
}

void Session::end() {
  connection_->abort();
  on_closed(CloseReason::closed_here);
}

/// What one loop carries. Touched by its thread only.
struct Carrier {
  std::unordered_map<Session*, std::unique_ptr<Session>> sessions;
  std::unordered_map<Arrival*, std::unique_ptr<Arrival>> arrivals;
  std::unique_ptr<Timer> grace;
  bool stopping = false;
  bool reported = false;
};

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  std::vector<ListeningSocket> sockets;
  config::Limits limits;
  std::shared_ptr<Admission> admission;
  UniqueFunction<void()> inherited_finish;
  UniqueFd inherited;
  Listen inherited_as;

  Loops* loops = nullptr;
  Factory factory;
  std::vector<std::unique_ptr<Watch>> watches;
  std::unique_ptr<Timer> resume;
  std::vector<Carrier> carriers;
  std::unordered_map<Loop*, std::size_t> index;
  std::vector<Accepted> parked;  // over their address's limit: they wait, accepted
  std::atomic<bool> paused{false};
  std::atomic<bool> waiting{false};  // somebody waits for a place
  bool stopping = false;
  std::size_t loops_to_empty = 0;
  Task when_gone;
  Task when_empty;

  mutable std::mutex tls_mutex;
  std::shared_ptr<const TlsContext> tls;

  std::shared_ptr<const TlsContext> current_tls() const {
    const std::lock_guard lock(tls_mutex);
    return tls;
  }

  // ---- accepting, on the first loop

  void start() {
    admission->on_free([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->waiting.exchange(false)) self->loops->first().post([self] { self->places_are_free(); });
    });
    resume = std::make_unique<Timer>(loops->first(), [this] { set_paused(false); });
    for (std::size_t i = 0; i < sockets.size(); ++i)
      watches.push_back(std::make_unique<Watch>(loops->first(), sockets[i].fd.get(), Watch::For::reading,
                                                [this, i] { accept_from(i); }));
  }

  void set_paused(bool pause) {
    if (paused.exchange(pause) == pause || stopping) return;
    for (auto& watch : watches) pause ? watch->pause() : watch->resume();
  }

  void places_are_free() {
    unpark();
    if (!admission->full() && !resume->pending()) set_paused(false);
  }

  void accept_from(std::size_t listener) {
    std::vector<std::vector<Accepted>> batches(loops->size());
    for (int i = 0; i < kAcceptsPerBatch && !paused && !stopping; ++i) {
      auto place = admission->enter();
      if (!place) {
        waiting = true;
        if (admission->full()) set_paused(true);  // the rest waits in the backlog
        break;
      }
      sockaddr_storage storage{};
      socklen_t octets = sizeof storage;
      UniqueFd fd(accept4(sockets[listener].fd.get(), reinterpret_cast<sockaddr*>(&storage), &octets,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (!accept_failed(errno)) break;
        continue;
      }
      Accepted one{std::move(fd), SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), octets), listener,
                   std::move(place)};
      if (auto admitted = admit(std::move(one))) batches[next_loop()].push_back(std::move(*admitted));
    }
    for (std::size_t i = 0; i < batches.size(); ++i) hand_over(i, std::move(batches[i]));
  }

  /// True: go on accepting.
  bool accept_failed(int number) {
    switch (number) {
      case EAGAIN:
        return false;
      case ECONNABORTED:
      case EINTR:
      case EPROTO:
        return true;
      default:  // EMFILE, ENFILE, ENOBUFS, ENOMEM: trying at once would turn in circles
        log_event(LogLevel::warning, "accept-paused", {{"reason", std::strerror(number)}});
        set_paused(true);
        resume->start(kPauseWithoutDescriptors);
        return false;
    }
  }

  bool is_proxy(const SocketAddress& peer) const {
    return !peer.is_unix() &&
           std::ranges::any_of(limits.proxies, [&](const IpPrefix& network) { return network.contains(peer.ip); });
  }

  /// Takes a place of the peer's address; without one, parks (as many as may be open; above that closes).
  std::optional<Accepted> admit(Accepted one) {
    if (is_proxy(one.peer)) return one;  // counted when the header has said who it is
    if (auto place = admission->enter(one.peer)) {
      one.place = std::make_shared<std::pair<std::shared_ptr<void>, std::shared_ptr<void>>>(std::move(one.place),
                                                                                            std::move(place));
      return one;
    }
    const auto same =
        std::ranges::count_if(parked, [&](const Accepted& other) { return other.peer.ip == one.peer.ip; });
    const bool too_many = static_cast<std::size_t>(same) >= limits.connections_per_address;
    log_event(LogLevel::info, too_many ? "connection-refused" : "connection-parked",
              {{"client", one.peer.to_string()}});
    waiting = true;
    if (!too_many) parked.push_back(std::move(one));
    return std::nullopt;
  }

  void unpark() {
    auto all = std::move(parked);
    parked.clear();
    for (auto& one : all) {
      if (stopping) break;
      if (auto admitted = admit(std::move(one))) {
        std::vector<Accepted> batch;
        batch.push_back(std::move(*admitted));
        hand_over(next_loop(), std::move(batch));
      }
    }
    if (!parked.empty()) waiting = true;
  }

  std::size_t next_loop() { return index.at(&loops->next()); }

  void hand_over(std::size_t carrier, std::vector<Accepted> batch) {
    if (batch.empty()) return;
    auto& loop = loops->at(carrier);
    auto arrive_all = [self = shared_from_this(), carrier, batch = std::move(batch)]() mutable {
      for (auto& one : batch) self->arrive(carrier, std::move(one));
    };
    if (carrier == 0 && loop.in_thread())
      arrive_all();
    else
      loop.post(std::move(arrive_all));
  }

  // ---- on the loop that carries the connection

  void arrive(std::size_t carrier, Accepted one) {
    auto& on = carriers[carrier];
    if (on.stopping) return;
    const Listen& listen = sockets.empty() ? inherited_as : sockets[one.listener].listen;
    Arrival::Needs needs{is_proxy(one.peer), listen.implicit_tls ? current_tls() : nullptr, limits.proxy_header,
                         limits.tls_handshake};
    if (listen.implicit_tls && !needs.tls) return;  // certificates were lost in a reload
    auto local = local_address(one.fd.get());
    auto token = std::make_shared<std::vector<std::shared_ptr<void>>>();
    token->push_back(std::move(one.place));
    auto admit_proxied = [this, token](Connection& connection) {
      auto place = admission->enter(connection.peer());
      if (!place) log_event(LogLevel::info, "connection-refused", {{"client", connection.peer().to_string()}});
      token->push_back(place);
      return place != nullptr;
    };
    auto arrival = std::make_unique<Arrival>(loops->at(carrier), std::move(one.fd), std::move(local),
                                             std::move(one.peer), std::move(needs), std::move(admit_proxied));
    auto* const raw = arrival.get();
    raw->set_done([this, carrier, raw, token, &listen](std::unique_ptr<Connection> connection) {
      const auto node = carriers[carrier].arrivals.extract(raw);
      loops->at(carrier).defer([dead = std::shared_ptr<Arrival>(std::move(node.mapped()))] {});
      if (connection) begin_session(carrier, std::move(connection), token, listen);
      report_if_empty(carrier);
    });
    on.arrivals.emplace(raw, std::move(arrival));
    raw->start();
  }

  void begin_session(std::size_t carrier, std::unique_ptr<Connection> connection, std::shared_ptr<void> token,
                     const Listen& listen) {
    if (carriers[carrier].stopping) return;
    connection->hold(std::move(token));
    auto session = factory(std::move(connection), listen);
    if (!session) return;
    auto* const raw = session.get();
    raw->forget_ = [this, carrier](Session* gone) { forget(carrier, gone); };
    carriers[carrier].sessions.emplace(raw, std::move(session));
    raw->on_ready();
  }

  void forget(std::size_t carrier, Session* session) {
    auto node = carriers[carrier].sessions.extract(session);
    if (node.empty()) return;
    // The session's own function called us: it dies with the batch.
    loops->at(carrier).defer(
        [keep = shared_from_this(), carrier, dead = std::shared_ptr<Session>(std::move(node.mapped()))]() mutable {
          dead.reset();
          keep->report_if_empty(carrier);
        });
  }

  void report_if_empty(std::size_t carrier) {
    auto& on = carriers[carrier];
    if (!on.sessions.empty() || !on.arrivals.empty()) return;
    if (sockets.empty() && when_empty) std::exchange(when_empty, nullptr)();
    if (!on.stopping || on.reported) return;
    on.reported = true;
    on.grace.reset();
    loops->first().post([self = shared_from_this()] {
      if (--self->loops_to_empty == 0 && self->when_gone) std::exchange(self->when_gone, nullptr)();
    });
  }

  void stop_carrier(std::size_t carrier, std::chrono::milliseconds grace) {
    auto& on = carriers[carrier];
    on.stopping = true;
    on.arrivals.clear();
    std::vector<Session*> all;
    for (const auto& [session, owner] : on.sessions) all.push_back(session);
    on.grace = std::make_unique<Timer>(loops->at(carrier), [this, carrier] { end_all(carrier); });
    on.grace->start(grace);
    for (auto* session : all)
      if (on.sessions.contains(session)) session->on_shutdown();
    report_if_empty(carrier);
  }

  void end_all(std::size_t carrier) {
    std::vector<Session*> all;
    for (const auto& [session, owner] : carriers[carrier].sessions) all.push_back(session);
    for (auto* session : all)
      if (carriers[carrier].sessions.contains(session)) session->end();
  }
};

Server::Server(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  for (const auto& socket : impl_->sockets)
    if (socket.unlink_at_end) unlink(socket.address.unix_path.c_str());
  if (impl_->inherited_finish) {
    impl_->carriers.clear();
    impl_->inherited.reset();
    impl_->inherited_finish();
  }
  impl_->watches.clear();
  impl_->resume.reset();
}

Result<std::unique_ptr<Server>> Server::open(std::vector<Listen> listeners, const config::Limits& limits) {
  auto impl = std::make_shared<Impl>();
  impl->limits = limits;
  impl->admission = std::make_shared<Admission>(limits);
  if (started_by_systemd_socket()) {
    MAIL_TRY(sockets, systemd_sockets(listeners));
    impl->sockets = std::move(sockets);
  } else {
    for (const auto& listen : listeners) {
      MAIL_TRY(bound, bind_endpoint(listen));
      for (auto& socket : bound) impl->sockets.push_back(std::move(socket));
    }
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Result<std::unique_ptr<Server>> Server::inetd(Listen as, const config::Limits& limits) {
  auto impl = std::make_shared<Impl>();
  impl->limits = limits;
  impl->admission = std::make_shared<Admission>(limits);
  MAIL_TRY(stream, inherited_stream());
  impl->inherited = std::move(stream.fd);
  impl->inherited_finish = std::move(stream.finish);
  impl->inherited_as = std::move(as);
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

bool Server::started_by_inetd() {
  sockaddr_storage storage{};
  socklen_t octets = sizeof storage;
  // A Unix socket as standard input is common elsewhere (ssh, containers): only a network connection speaks for inetd.
  return getpeername(0, reinterpret_cast<sockaddr*>(&storage), &octets) == 0 &&
         (storage.ss_family == AF_INET || storage.ss_family == AF_INET6);
}

bool Server::started_by_systemd_socket() {
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count = std::getenv("LISTEN_FDS");
  return pid != nullptr && count != nullptr && parse_decimal<int>(pid) == getpid() &&
         parse_decimal<int>(count).value_or(0) > 0;
}

void Server::start(Loops& loops, Factory factory) {
  impl_->loops = &loops;
  impl_->factory = std::move(factory);
  impl_->carriers.resize(loops.size());
  for (std::size_t i = 0; i < loops.size(); ++i) impl_->index[&loops.at(i)] = i;
  if (!impl_->inherited) return impl_->start();
  loops.first().post([impl = impl_] {
    auto peer = peer_address(impl->inherited.get());
    impl->arrive(0, {std::move(impl->inherited), std::move(peer), 0, impl->admission->enter()});
  });
}

void Server::set_tls(std::shared_ptr<const TlsContext> context) {
  const std::lock_guard lock(impl_->tls_mutex);
  impl_->tls = std::move(context);
}

std::shared_ptr<const TlsContext> Server::tls() const { return impl_->current_tls(); }

void Server::shutdown(std::chrono::milliseconds grace, Task done) {
  impl_->stopping = true;
  impl_->watches.clear();
  impl_->parked.clear();
  for (auto& socket : impl_->sockets) {
    if (socket.unlink_at_end) unlink(socket.address.unix_path.c_str());
    socket.unlink_at_end = false;
    socket.fd.reset();
  }
  impl_->when_gone = std::move(done);
  impl_->loops_to_empty = impl_->loops->size();
  for (std::size_t i = 0; i < impl_->loops->size(); ++i)
    impl_->loops->at(i).post([impl = impl_, i, grace] { impl->stop_carrier(i, grace); });
}

void Server::when_empty(Task task) { impl_->when_empty = std::move(task); }
std::size_t Server::connections() const { return impl_->admission->count(); }

std::vector<SocketAddress> Server::addresses() const {
  std::vector<SocketAddress> out;
  for (const auto& socket : impl_->sockets) out.push_back(socket.address);
  return out;
}

}  // namespace mail::net
