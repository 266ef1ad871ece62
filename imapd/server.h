// What all sessions of the process share, made from the configuration.
#pragma once
#include <memory>

#include "directory/directory.h"
#include "directory/throttle.h"
#include "imapd/session.h"
#include "net/server.h"
#include "net/service.h"

namespace mail::imapd {

class ImapServer {
 public:
  /// Opens the users and the store; `service` outlives this.
  /// @param preauthenticated  a user's name: every session is that user's from the start
  static Result<std::unique_ptr<ImapServer>> open(net::Service& service, const std::string& preauthenticated = {});

  std::unique_ptr<net::Session> session(std::unique_ptr<net::Connection> connection);
  /// SIGHUP: users are read again.
  void reload();
  /// At the end: flags reach the file names.
  void finish() { environment_.store->write_pending(); }

  const Environment& environment() const { return environment_; }
  net::WorkerPool& workers() { return service_.workers(); }
  std::shared_ptr<const net::TlsContext> tls() const { return service_.tls(); }
  const std::optional<directory::User>& preauthenticated() const { return preauthenticated_; }

 private:
  ImapServer(net::Service& service, std::unique_ptr<directory::Directory> directory,
             std::shared_ptr<store::Store> store);

  net::Service& service_;
  std::unique_ptr<directory::Directory> directory_;
  directory::Throttle throttle_;
  Environment environment_;
  std::optional<directory::User> preauthenticated_;
};

}  // namespace mail::imapd
