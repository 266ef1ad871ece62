#include "pop3d/server.h"

#include "base/id.h"
#include "base/log.h"
#include "base/strings.h"
#include "directory/from_settings.h"
#include "pop3d/client.h"
#include "store/from_settings.h"

namespace mail::pop3d {

Result<std::unique_ptr<Pop3Server>> Pop3Server::open(net::Service& service, const Clock& clock) {
  MAIL_TRY(users, directory::Directory::open(directory::options_from(service.settings()), clock));
  MAIL_TRY(store, store::Store::open(store::settings_from(service.settings())));
  return std::unique_ptr<Pop3Server>(new Pop3Server(service, std::move(users), std::move(store), clock));
}

Pop3Server::Pop3Server(net::Service& service, std::unique_ptr<directory::Directory> directory,
                       std::shared_ptr<store::Store> store, const Clock& clock)
    : service_(service),
      clock_(clock),
      directory_(std::move(directory)),
      throttle_(directory::throttle_from(service.settings().auth), clock),
      policy_(directory::policy_from(service.settings(), *directory_)),
      store_(std::move(store)) {}

std::unique_ptr<net::Session> Pop3Server::session(std::unique_ptr<net::Connection> connection) {
  return std::make_unique<Client>(*this, std::move(connection));
}

void Pop3Server::reload() {
  if (const auto done = directory_->reload(); !done)
    log_event(LogLevel::error, "users_not_reloaded", {{"error", done.error().text}});
}

std::string Pop3Server::new_timestamp() const {
  if (!directory_->has_plain_secrets()) return {};
  return concat({"<", random_token(20), "@", policy_.host_name, ">"});
}

bool Pop3Server::too_soon(const std::string& user) {
  const auto delay = settings().pop3.login_delay;
  if (delay.count() == 0) return false;
  const SteadyTime now = clock_.steady();
  const std::lock_guard lock(mutex_);
  if (last_logins_.size() > 100'000)
    std::erase_if(last_logins_, [&](const auto& entry) { return now - entry.second >= delay; });
  const auto [place, first] = last_logins_.try_emplace(user, now);
  if (!first && now - place->second < delay) return true;
  place->second = now;
  return false;
}

}  // namespace mail::pop3d
