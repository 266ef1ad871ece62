// Who is told of changes of an account, and how other programs' changes are seen in mailboxes that nobody has open.
#include <sys/inotify.h>
#include <sys/stat.h>

#include "store/account_impl.h"
#include "store/mailbox_name.h"
#include "store/store_impl.h"

namespace mail::store {

/// A mailbox that somebody asked to be watched: by the kernel, or by its times.
struct FolderWatch {
  std::shared_ptr<void> fresh, cur, folder;
  std::int64_t times = 0;
};

namespace {
constexpr std::uint32_t kComesAndGoes = IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE;
constexpr std::string_view kServerNotes = "relais-account";

bool holds_notes(std::string_view name) { return name.empty() || name == "relais-mailbox" || name == "dovecot-acl"; }
}  // namespace

void AccountImpl::Listeners::tell(const AccountChange& change) {
  std::lock_guard lock(mutex);
  for (const auto& [key, changed] : all) changed(change);
}

std::shared_ptr<void> AccountImpl::on_change(std::function<void(const AccountChange&)> changed) {
  std::lock_guard lock(listeners_->mutex);
  const auto key = ++listeners_->last;
  listeners_->all[key] = std::move(changed);
  listeners_->any = true;
  return std::shared_ptr<void>(nullptr, [listeners = listeners_, key](void*) {
    std::lock_guard gone(listeners->mutex);
    listeners->all.erase(key);
    listeners->any = !listeners->all.empty();
  });
}

void AccountImpl::tell_changed(const AccountChange& change) {
  using Kind = AccountChange::Kind;
  {
    std::lock_guard lock(list_mutex_);
    list_cache_.root_time = -1;
  }
  std::lock_guard naming(names_mutex_);
  if (names_known_) {
    auto& known = known_names_;
    if (change.kind == Kind::created) known[change.mailbox].exists = true;
    if (change.kind == Kind::removed) known[change.mailbox].exists = false;
    if (change.kind == Kind::subscription) known[change.mailbox].subscribed = !known[change.mailbox].subscribed;
    if (change.kind == Kind::renamed) {
      const auto child = change.old_name + context_->settings.separator;
      std::vector<std::string> moved;
      for (auto& [name, state] : known)
        if (state.exists && (name == change.old_name || name.starts_with(child))) {
          state.exists = false;
          moved.push_back(change.mailbox + name.substr(change.old_name.size()));
        }
      for (const auto& name : moved) known[name].exists = true;
    }
  }
  listeners_->tell(change);
}

void AccountImpl::tell_names_changed() {
  using Kind = AccountChange::Kind;
  std::lock_guard naming(names_mutex_);
  if (!names_known_) return;
  {
    std::lock_guard lock(list_mutex_);
    list_cache_.root_time = -1;
  }
  const auto names = list();
  if (!names) return;
  std::map<std::string, KnownName> now;
  for (const auto& entry : *names) now[entry.name] = {entry.exists, entry.subscribed};
  const auto before = std::exchange(known_names_, std::move(now));
  const auto of = [](const auto& all, const std::string& name) {
    const auto found = all.find(name);
    return found == all.end() ? KnownName{} : found->second;
  };
  for (const auto& [name, was] : before) {
    if (was.exists && !of(known_names_, name).exists) listeners_->tell({Kind::removed, name});
    if (was.subscribed && !of(known_names_, name).subscribed) listeners_->tell({Kind::subscription, name});
  }
  for (const auto& [name, is] : known_names_) {
    if (is.exists && !of(before, name).exists) listeners_->tell({Kind::created, name});
    if (is.subscribed && !of(before, name).subscribed) listeners_->tell({Kind::subscription, name});
  }
}

void AccountImpl::watch_names() {
  std::lock_guard naming(names_mutex_);
  if (names_known_) return;
  names_known_ = true;
  if (const auto store = store_.lock())
    root_watch_ = store->watch_directory(root_, kComesAndGoes, true, [self = weak_from_this()](std::string_view name) {
      const auto account = self.lock();
      if (!account) return;
      if (name.empty() || name.front() == '.' || name == "subscriptions") account->tell_names_changed();
      if (name.empty() || name == kServerNotes) account->tell_notes_changed({});
    });
  {
    std::lock_guard noting(notes_mutex_);
    known_notes_.emplace(std::string(), read_notes({}));
  }
  known_names_.clear();
  if (const auto names = list())
    for (const auto& entry : *names) known_names_[entry.name] = {entry.exists, entry.subscribed};
}

/// What cannot be read now is as if it were not there; the next look finds it.
AccountImpl::Notes AccountImpl::read_notes(const std::string& mailbox) {
  Notes notes;
  if (auto entries = metadata(mailbox)) notes.entries = *std::move(entries);
  if (!mailbox.empty())
    if (auto rights = acl(mailbox)) notes.rights = *std::move(rights);
  return notes;
}

void AccountImpl::tell_notes_changed(const std::string& mailbox) {
  using Kind = AccountChange::Kind;
  std::vector<AccountChange> changes;
  {
    std::lock_guard noting(notes_mutex_);
    const auto known = known_notes_.find(mailbox);
    if (known == known_notes_.end()) return;
    auto now = read_notes(mailbox);
    const auto before = std::exchange(known->second, std::move(now));
    const auto& after = known->second;
    for (const auto& [entry, value] : before.entries)
      if (!after.entries.contains(entry)) changes.push_back({Kind::metadata, mailbox, {}, entry});
    for (const auto& [entry, value] : after.entries) {
      const auto was = before.entries.find(entry);
      if (was == before.entries.end() || was->second != value) changes.push_back({Kind::metadata, mailbox, {}, entry});
    }
    if (before.rights != after.rights) changes.push_back({Kind::rights, mailbox});
  }
  for (const auto& change : changes) listeners_->tell(change);
}

std::int64_t AccountImpl::folder_times(const std::string& name) {
  const auto folder = folder_of(name, rules());
  std::int64_t sum = 0;
  for (const auto* part : {"new", "cur"})
    if (const auto found = context_->disk->stat(root_, folder.empty() ? part : folder + "/" + part))
      sum += std::int64_t{found->st_mtim.tv_sec} * 1000000000 + found->st_mtim.tv_nsec;
  return sum;
}

Result<std::shared_ptr<FolderWatch>> AccountImpl::watch_folder(const std::string& name) {
  std::lock_guard lock(watch_mutex_);
  if (auto there = folder_watches_[name].lock()) return there;
  MAIL_TRY(folder, delivery_folder(name));
  auto watch = std::make_shared<FolderWatch>();
  const auto store = store_.lock();
  const auto happened = [listeners = listeners_, name](std::string_view) {
    listeners->tell({AccountChange::Kind::messages, name});
  };
  if (store && store->watches() && !on_network(folder->cur.fd())) {
    watch->fresh = store->watch_directory(folder->fresh, kComesAndGoes, false, happened);
    watch->cur = store->watch_directory(folder->cur, kComesAndGoes, false, happened);
    if (const auto directory = open_folder(folder_of(name, rules())))
      watch->folder = store->watch_directory(*directory, kComesAndGoes, true,
                                             [self = weak_from_this(), name](std::string_view file) {
                                               if (const auto account = self.lock(); account && holds_notes(file))
                                                 account->tell_notes_changed(name);
                                             });
    if (!watch->fresh || !watch->cur || !watch->folder) return fail_errno("watching", folder->cur.path(), ENOSPC);
  } else {
    watch->times = folder_times(name);
  }
  {
    std::lock_guard noting(notes_mutex_);
    known_notes_[name] = read_notes(name);
  }
  folder_watches_[name] = watch;
  return watch;
}

Result<std::shared_ptr<void>> AccountImpl::watch(std::span<const std::string> mailboxes) {
  struct Watching {
    std::shared_ptr<AccountImpl> account;
    std::vector<std::shared_ptr<FolderWatch>> folders;
    ~Watching() {
      folders.clear();
      std::lock_guard naming(account->names_mutex_);
      std::lock_guard lock(account->watch_mutex_);
      std::erase_if(account->folder_watches_, [](const auto& entry) { return entry.second.expired(); });
      std::lock_guard noting(account->notes_mutex_);
      std::erase_if(account->known_notes_, [&](const auto& entry) {
        return entry.first.empty() ? account->watch_tokens_ == 1 : !account->folder_watches_.contains(entry.first);
      });
      if (--account->watch_tokens_ > 0) return;
      account->root_watch_.reset();
      account->names_known_ = false;
      account->known_names_.clear();
    }
  };
  auto watching = std::make_shared<Watching>();
  {
    std::lock_guard lock(watch_mutex_);
    watching->account = shared_from_this();
    ++watch_tokens_;
  }
  watch_names();
  watching->folders.reserve(mailboxes.size());
  for (const auto& name : mailboxes) {
    auto folder = watch_folder(name);
    if (folder)
      watching->folders.push_back(std::move(*folder));
    else if (folder.error().kind != Error::Kind::not_found)
      return tl::unexpected(std::move(folder).error());
  }
  return std::static_pointer_cast<void>(std::move(watching));
}

void AccountImpl::poll_watched() {
  std::vector<std::string> changed, looked_at;
  bool by_times = false;
  {
    std::lock_guard lock(watch_mutex_);
    for (const auto& [name, weak] : folder_watches_) {
      const auto watch = weak.lock();
      if (!watch || watch->fresh) continue;
      by_times = true;
      looked_at.push_back(name);
      const auto times = folder_times(name);
      if (std::exchange(watch->times, times) != times) changed.push_back(name);
    }
  }
  for (const auto& name : changed) listeners_->tell({AccountChange::Kind::messages, name});
  for (const auto& name : looked_at) tell_notes_changed(name);
  if (!by_times) return;
  tell_names_changed();
  tell_notes_changed({});
}

}  // namespace mail::store
