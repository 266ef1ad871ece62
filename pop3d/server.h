// What all POP3 sessions of the process share: users, mailboxes, limits on guessing.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "directory/directory.h"
#include "directory/throttle.h"
#include "net/server.h"
#include "net/service.h"
#include "pop3d/snapshot.h"
#include "sasl/server.h"
#include "store/store.h"

namespace mail::pop3d {

class Pop3Server {
 public:
  /// Opens the users and the store; `service` outlives this.
  static Result<std::unique_ptr<Pop3Server>> open(net::Service& service, const Clock& clock = Clock::system());

  std::unique_ptr<net::Session> session(std::unique_ptr<net::Connection> connection);
  /// The end of the process: what the store writes behind is written now.
  void finish() { store_->write_pending(); }
  /// SIGHUP: users are read again.
  void reload();

  const config::Settings& settings() const { return service_.settings(); }
  net::WorkerPool& workers() { return service_.workers(); }
  std::shared_ptr<const net::TlsContext> tls() const { return service_.tls(); }
  const directory::Directory& directory() const { return *directory_; }
  directory::Throttle& throttle() { return throttle_; }
  const sasl::ServerPolicy& policy() const { return policy_; }
  store::Store& store() { return *store_; }
  SnapshotCache& snapshots() { return snapshots_; }
  /// `<unique@host>` where APOP can work, else empty.
  std::string new_timestamp() const;
  /// LOGIN-DELAY (RFC 2449 section 6.6): true where the user's last log-in is too recent, else notes this one.
  bool too_soon(const std::string& user);

 private:
  Pop3Server(net::Service& service, std::unique_ptr<directory::Directory> directory,
             std::shared_ptr<store::Store> store, const Clock& clock);

  net::Service& service_;
  const Clock& clock_;
  std::unique_ptr<directory::Directory> directory_;
  directory::Throttle throttle_;
  sasl::ServerPolicy policy_;
  std::shared_ptr<store::Store> store_;
  SnapshotCache snapshots_;
  std::mutex mutex_;
  std::unordered_map<std::string, SteadyTime> last_logins_;
};

}  // namespace mail::pop3d
