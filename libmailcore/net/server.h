// Listening: standalone, from systemd (LISTEN_FDS) or for one connection from inetd (descriptor 0). Each accepted
// connection becomes a Session of the program's on one of the loops, in turn.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/connection.h"
#include "net/loop.h"

namespace mail::net {

/// What a program derives its conversations from. Owned by the Server, which destroys it after on_closed().
class Session : public Connection::Handler {
 public:
  explicit Session(std::unique_ptr<Connection> connection);
  ~Session() override;
  Connection& connection() { return *connection_; }
  Loop& loop() { return connection_->loop(); }
  /// The daemon stops (SIGTERM): say goodbye (421, * BYE) and close_when_written() at the next good moment.
  virtual void on_shutdown() = 0;
  /// First call, when the connection is ready: under implicit TLS after the handshake, behind a proxy after its header.
  /// Greets.
  virtual void on_ready() = 0;
  /// What the program does at the end; the session is destroyed afterwards (at the end of the batch).
  virtual void on_ended(CloseReason) {}
  /// Ends the session now without a word to the peer.
  void end();

 private:
  friend class Server;
  void on_closed(CloseReason reason) final;
  void on_tls_started() override {}
  std::unique_ptr<Connection> connection_;
  std::function<void(Session*)> forget_;
  bool ended_ = false;
};

/// One row of what to listen on.
struct Listen {
  config::Endpoint endpoint;
  std::string name;  ///< "smtp", "submissions", "imaps"…: matched with systemd's FileDescriptorName, shown in logs.
  bool implicit_tls = false;
  int tag = 0;  ///< For the program: which of its services this is.
};

class Server {
 public:
  using Factory = std::function<std::unique_ptr<Session>(std::unique_ptr<Connection>, const Listen&)>;

  /// Binds everything, or takes systemd's descriptors: those whose name is a listener's name, or whose address is its
  /// endpoint's; with LISTEN_FDS set nothing else is bound. Errors are one line with the remedy: port below 1024 as an
  /// ordinary user (refused), port in use (temporary), address not here (permanent).
  static Result<std::unique_ptr<Server>> open(std::vector<Listen> listeners, const config::Limits& limits);
  /// No listener: the connection on descriptor 0 (inetd nowait, or a terminal or pipe pair on 0 and 1).
  static Result<std::unique_ptr<Server>> inetd(Listen as, const config::Limits& limits);
  ~Server();

  /// True where the process was started by inetd: descriptor 0 is a connected socket. Then descriptor 2 is the client
  /// too, and must not be written to.
  static bool started_by_inetd();
  /// True where LISTEN_FDS is for this process.
  static bool started_by_systemd_socket();

  /// Starts to accept. `factory` is called on the loop that will carry the session.
  void start(Loops& loops, Factory factory);
  void set_tls(
      std::shared_ptr<const TlsContext> context);  ///< For implicit TLS from now on, and tls(); thread-safe (SIGHUP).
  std::shared_ptr<const TlsContext> tls() const;   ///< For STARTTLS; null without certificates.
  /// Stops accepting, tells every session on_shutdown(), calls `done` (on the first loop) when all are gone or `grace`
  /// is over.
  void shutdown(std::chrono::milliseconds grace, Task done);
  /// In inetd mode: called on the loop when the one session is gone.
  void when_empty(Task task);
  std::size_t connections() const;
  /// Addresses really bound (port 0 resolved), in the order of the listeners; "*" gives one per family.
  std::vector<SocketAddress> addresses() const;

 private:
  struct Impl;
  explicit Server(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mail::net
