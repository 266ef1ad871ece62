#include "mda/agent.h"

#include "mda/batch.h"
#include "store/from_settings.h"

namespace mail::mda {
namespace {
constexpr std::size_t kOpenAccounts = 512;
}

Agent::Agent(const config::Settings& settings, const directory::Directory& users, const route::Router& router,
             store::Store& store, Inject inject, Options options, const Clock& clock, Disk& disk)
    : settings_(settings),
      users_(users),
      router_(router),
      store_(store),
      inject_(std::move(inject)),
      options_(std::move(options)),
      clock_(clock),
      disk_(disk) {}

Result<std::shared_ptr<store::Account>> Agent::account(const directory::User& user) {
  return account_at(store::location_from(settings_, user.name, user.mail, {user.quota_octets, user.quota_messages}));
}

Result<std::shared_ptr<store::Account>> Agent::account_at(const store::AccountLocation& location) {
  {
    const std::scoped_lock lock(mutex_);
    const auto found = by_maildir_.find(location.maildir);
    if (found != by_maildir_.end() && found->second->second->quota_limits() == location.quota) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return recent_.front().second;
    }
  }
  MAIL_TRY(account, store_.account(location));
  const std::scoped_lock lock(mutex_);
  if (const auto found = by_maildir_.find(location.maildir); found != by_maildir_.end()) {
    recent_.erase(found->second);
    by_maildir_.erase(found);
  }
  while (recent_.size() >= kOpenAccounts) {
    by_maildir_.erase(recent_.back().first);
    recent_.pop_back();
  }
  recent_.emplace_front(location.maildir, account);
  by_maildir_[location.maildir] = recent_.begin();
  return account;
}

std::vector<std::vector<Outcome>> Agent::deliver(std::span<const Item> items) {
  return Batch(*this, items, nullptr).run();
}

std::vector<std::vector<Outcome>> Agent::deliver(std::span<const Item> items, store::Unflushed& unflushed) {
  return Batch(*this, items, &unflushed).run();
}

}  // namespace mail::mda
