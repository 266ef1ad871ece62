#include "imapd/server.h"

#include "base/log.h"
#include "base/strings.h"
#include "directory/from_settings.h"
#include "imapd/client.h"
#include "store/from_settings.h"

namespace mail::imapd {

Result<std::unique_ptr<ImapServer>> ImapServer::open(net::Service& service, const std::string& preauthenticated) {
  MAIL_TRY(users, directory::Directory::open(directory::options_from(service.settings())));
  auto store_settings = store::settings_from(service.settings());
  store_settings.index_ahead = true;
  MAIL_TRY(store, store::Store::open(std::move(store_settings)));
  std::unique_ptr<ImapServer> server(new ImapServer(service, std::move(users), std::move(store)));
  if (!preauthenticated.empty()) {
    MAIL_TRY(user, server->directory_->find_user(preauthenticated));
    if (!user) return fail(Error::Kind::not_found, concat({"--preauth ", preauthenticated, ": there is no such user"}));
    server->preauthenticated_ = std::move(*user);
  }
  return server;
}

ImapServer::ImapServer(net::Service& service, std::unique_ptr<directory::Directory> directory,
                       std::shared_ptr<store::Store> store)
    : service_(service),
      directory_(std::move(directory)),
      throttle_(directory::throttle_from(service.settings().auth)) {
  environment_.settings = service.settings();
  environment_.store = std::move(store);
  environment_.directory = directory_.get();
  environment_.throttle = &throttle_;
  environment_.tls_available = service.tls() != nullptr;
  prepare(environment_);
}

std::unique_ptr<net::Session> ImapServer::session(std::unique_ptr<net::Connection> connection) {
  return std::make_unique<Client>(*this, std::move(connection));
}

void ImapServer::reload() {
  if (const auto done = directory_->reload(); !done)
    log_event(LogLevel::error, "users_not_reloaded", {{"error", done.error().text}});
}

}  // namespace mail::imapd
