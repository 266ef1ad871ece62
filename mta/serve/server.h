// What all sessions of `mta serve` share: users, routes, the spool, the settings of each listener.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "base/clock.h"
#include "directory/directory.h"
#include "directory/login.h"
#include "directory/throttle.h"
#include "mta/serve/filter/held_body.h"
#include "mta/serve/filter/settings.h"
#include "mta/serve/policy/policy.h"
#include "mta/serve/settings.h"
#include "net/service.h"
#include "route/router.h"
#include "spool/writer.h"

namespace mail::mta {

class SmtpServer {
 public:
  /// Opens users and spool; `service` outlives this.
  /// @param inetd  one of many processes that serve one connection each
  static Result<std::unique_ptr<SmtpServer>> open(net::Service& service, bool inetd,
                                                  const Clock& clock = Clock::system());
  ~SmtpServer();

  std::unique_ptr<net::Session> session(std::unique_ptr<net::Connection> connection, const net::Listen& listen);
  void reload();  ///< SIGHUP: users and aliases are read again.

  const config::Settings& settings() const { return service_.settings(); }
  const smtp::ServerSettings& settings_of(Service service) const {
    return *session_settings_[static_cast<std::size_t>(service)];
  }
  net::WorkerPool& workers() { return service_.workers(); }
  std::shared_ptr<const net::TlsContext> tls() const { return service_.tls(); }
  const directory::Directory& directory() const { return *directory_; }
  directory::Throttle& throttle() { return throttle_; }
  const sasl::ServerPolicy& policy() const { return policy_; }
  const route::Router& router() const { return router_; }
  spool::Writer& writer() { return *writer_; }
  Policy& policy_checks() { return *policy_checks_; }
  const Filters& filters() const { return filters_; }
  /// Room for the body of a message that filters have to see.
  HeldBody hold_body() const {
    return {spool_->disk(), spool_->directory(spool::Box::tmp), settings().spool.journal_message};
  }
  net::Resolver& resolver(net::Loop& loop) { return service_.resolver(loop); }
  const Clock& clock() const { return clock_; }
  /// False while the spool's file system has less room than [spool] free_octets; looked at once a second.
  bool has_room();
  /// ETRN (RFC 1985): asks the relay to try a node's mail now. The reply says whether it was asked.
  smtp::Reply flush_queue(std::string_view node);
  /// True where `address` is this user's: itself, a detail of it, or an alias that leads to him.
  bool belongs_to(const directory::User& user, std::string_view address) const;

 private:
  SmtpServer(net::Service& service, std::unique_ptr<directory::Directory> directory,
             std::unique_ptr<spool::Spool> spool, std::unique_ptr<spool::Writer> writer, const Clock& clock);

  net::Service& service_;
  const Clock& clock_;
  std::unique_ptr<directory::Directory> directory_;
  directory::Throttle throttle_;
  sasl::ServerPolicy policy_;
  route::Router router_;
  std::unique_ptr<spool::Spool> spool_;  // the writer refers to it
  std::unique_ptr<spool::Writer> writer_;
  std::unique_ptr<Policy> policy_checks_;
  Filters filters_;
  std::array<std::unique_ptr<smtp::ServerSettings>, 3> session_settings_;
  std::atomic<std::int64_t> room_checked_{0};  // seconds of the steady clock
  std::atomic<bool> has_room_{true};
  std::atomic<std::int64_t> flush_second_{0};
  std::atomic<unsigned> flushes_{0};  // in that second
};

}  // namespace mail::mta
