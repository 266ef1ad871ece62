// A connection between accept() and its session: first its PROXY header, then the TLS handshake, as its listener says.
// Internal to net/.
#pragma once
#include "net/server.h"

namespace mail::net {

class Arrival final : public Connection::Handler {
 public:
  struct Needs {
    bool proxy = false;
    std::shared_ptr<const TlsContext> tls;  ///< Not null: implicit TLS.
    std::chrono::milliseconds proxy_limit{5000};
    std::chrono::milliseconds tls_limit{30000};
  };
  /// `done` gets the connection, or null where it is closed already; it may destroy this object.
  using Done = UniqueFunction<void(std::unique_ptr<Connection>)>;
  /// The peer as the PROXY header gives it: false closes the connection.
  using Admit = UniqueFunction<bool(Connection&)>;

  Arrival(Loop& loop, UniqueFd fd, SocketAddress local, SocketAddress peer, Needs needs, Admit admit);
  void set_done(Done done) { done_ = std::move(done); }
  void start();

 private:
  void on_octets(std::string_view) override {}
  void on_tls_started() override;
  void on_closed(CloseReason reason) override;
  void read_proxy_header();
  void proxy_failed(std::string_view why);
  void connect();
  void finish();

  Loop& loop_;
  UniqueFd fd_;
  SocketAddress local_, peer_, proxy_;
  Needs needs_;
  Admit admit_;
  Done done_;
  std::string header_;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace mail::net
