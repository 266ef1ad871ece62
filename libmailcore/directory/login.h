// A login on one connection, whatever the protocol: drives the SASL exchange or takes name and password, asks the
// directory on a worker, slows down who guesses, and logs the outcome in one line.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/alive.h"
#include "directory/directory.h"
#include "directory/throttle.h"
#include "sasl/server.h"

namespace mail::directory {

/// Runs `job` where it may block, then `done` back on the connection's own thread. Tests and one-connection programs
/// may run both at once. net::WorkerPool: [&](auto job, auto done) { pool.submit(std::move(job), loop,
/// std::move(done)); }
using RunBlocking = std::function<void(std::function<void()> job, std::function<void()> done)>;

/// Send `octets` in base64 and give the client's line to respond().
struct LoginChallenge {
  std::string octets;
};
struct LoginAccepted {
  User user;
  std::string mechanism;
};
struct LoginRefused {
  enum class Why {
    credentials,  ///< 535 5.7.8 / NO [AUTHENTICATIONFAILED] / -ERR [AUTH]
    temporary,    ///< 454 4.7.0 / NO [UNAVAILABLE] / -ERR [SYS/TEMP]
    malformed,    ///< 501 5.5.2 / BAD / -ERR
    unknown,      ///< mechanism not offered: 504 5.5.4 / NO / -ERR
    needs_tls,    ///< 538 5.7.11 / NO [PRIVACYREQUIRED] / -ERR
    cancelled,    ///< the client sent "*": 501 5.7.0 / BAD
  } why = Why::credentials;
  std::chrono::milliseconds delay{0};  ///< Wait this long (a timer, not a sleep) before the reply goes out.
};
using LoginStep = std::variant<LoginChallenge, LoginAccepted, LoginRefused>;

/// The policy without the mechanisms that the stored passwords of some user do not allow: what a program announces.
sasl::ServerPolicy fitting_policy(sasl::ServerPolicy policy, const Directory& directory);

class Login {
 public:
  struct Peer {
    std::string service;  ///< "smtp", "imap", "pop3": for the log.
    std::string address;  ///< As text; "" or "unix" for a local one.
  };
  using Done = std::function<void(LoginStep)>;

  /// All references must outlive this. `throttle` may be nullptr.
  Login(const Directory& directory, Throttle* throttle, const sasl::ServerPolicy& policy, RunBlocking run, Peer peer);
  ~Login();  ///< Callbacks that have not come yet never come.
  Login(const Login&) = delete;
  Login& operator=(const Login&) = delete;

  /// Set after TLS has started, and before start().
  void set_channel(sasl::Channel channel);
  std::vector<std::string> announced() const;

  /// AUTH / AUTHENTICATE. `initial_base64`: as it came; "=" is an empty one (RFC 4954, 4959, 5034). `done` may be
  /// called before this returns.
  void start(std::string_view mechanism, std::optional<std::string_view> initial_base64, Done done);
  /// The client's line for a LoginChallenge, still in base64; "*" cancels.
  void respond(std::string_view line, Done done);
  /// IMAP LOGIN, POP3 USER and PASS. The caller has checked that clear text is allowed.
  void with_password(std::string_view name, std::string_view password, Done done);
  /// POP3 APOP (RFC 1939): `timestamp` is the banner's `<…>`, `digest` the hexadecimal MD5.
  void with_apop(std::string_view name, std::string_view timestamp, std::string_view digest, Done done);
  /// Refusals so far: programs close after some.
  int failures() const { return failures_; }

 private:
  void act(sasl::ServerStep step, Done done);
  void check_password(const std::string& name, const sasl::Secret& password,
                      std::function<void(Result<std::optional<User>>)> then);
  /// Runs `job` where it may block and gives its result to `then` here, unless this Login has gone.
  template <class T>
  void blocking(std::function<T()> job, std::function<void(T)> then);
  void authenticated(const std::string& authcid, const std::string& authzid, const Done& done);
  void accept(User user, const Done& done);
  void refuse(LoginRefused::Why why, std::string_view name, std::string_view text, const Done& done);
  bool locked(std::string_view name, const Done& done);

  const Directory& directory_;
  Throttle* throttle_;
  sasl::ServerPolicy policy_;  // what the users' stored passwords allow of it
  RunBlocking run_;
  Peer peer_;
  sasl::Channel channel_;
  std::string mechanism_;
  std::unique_ptr<sasl::ServerExchange> exchange_;
  std::string user_;             // as the client gave it
  std::optional<User> checked_;  // whose password was right
  Alive alive_;
  int failures_ = 0;
};

}  // namespace mail::directory
