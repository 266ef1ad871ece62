// A daemon's frame, shared by mta serve, mda, pop3d and imapd: settings, listeners, TLS, privileges, loops, signals,
// readiness, the end.
//
//   auto service = net::Service::open({.program = "pop3d", .settings = settings, .listeners = listen});
//   if (!service) return service.error();   // an exit code; why has been said on standard error
//   ...                                     // users, spool and store are opened as the user that it became
//   return (*service)->run([&](auto connection, const net::Listen&) { return server.session(std::move(connection)); });
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/load.h"
#include "net/daemon.h"
#include "net/resolver.h"
#include "net/server.h"
#include "net/worker_pool.h"

namespace mail::net {

struct ServiceOptions {
  std::string program;  ///< "pop3d": the log's first field.
  config::Settings settings;
  std::vector<Listen> listeners;  ///< Empty is an error (nothing to do), unless inetd or no_listeners.
  bool inetd = false;  ///< Serve descriptor 0 as listeners.front() and leave; also when Server::started_by_inetd().
  bool no_listeners = false;  ///< A daemon without sockets of its own (mta relay, mda on the spool).
  bool needs_tls = false;     ///< Without a certificate the start fails, even when no listener has implicit TLS.
  bool keep_root = false;     ///< Delivery to system users: the program itself changes ids per delivery.
};

class Service {
 public:
  /// Opens log and limits, binds, loads certificates, drops root. A failure has been logged and said in one line on
  /// standard error; the exit code is the error's.
  static tl::expected<std::unique_ptr<Service>, int> open(ServiceOptions options);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const config::Settings& settings() const;
  Loops& loops();
  WorkerPool& workers();
  Server& server();                               ///< Only with listeners.
  std::shared_ptr<const TlsContext> tls() const;  ///< For STARTTLS; null: none.
  /// A resolver of the loop that calls (one is kept per loop).
  Resolver& resolver(Loop& loop);

  /// On SIGHUP, after log and certificates have been reopened; e.g. forget caches.
  void on_reload(std::function<void()> function);
  /// On SIGTERM or SIGINT, when the sessions are gone (or run.stop_grace is over): `function` calls `done` when the
  /// program's own work has come to a good end.
  void on_stop(std::function<void(Task done)> function);

  /// Serves until SIGTERM; logs event=ready and event=stopped, tells systemd; the exit code.
  int run(Server::Factory factory);
  int run() { return run({}); }
  /// Ends run() as SIGTERM does; thread-safe.
  void stop();
  /// After run(): waits for the worker's jobs and destroys what sessions are left, so that what they refer to may go.
  void end_sessions();

 private:
  struct Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mail::net
