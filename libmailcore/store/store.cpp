#include "store/store.h"

#include <unistd.h>

#include "base/log.h"
#include "base/priority.h"
#include "store/file_name.h"
#include "store/store_impl.h"

namespace mail::store {

namespace {
/// A mailbox that nobody has open stays in memory for so long: the next log-in finds it ready.
constexpr auto kKeep = std::chrono::seconds(60);
constexpr auto kRound = std::chrono::seconds(5);
/// Files renamed or removed in one go: others wait no longer than that takes.
constexpr std::size_t kPiece = 500;
constexpr auto kIndexRound = std::chrono::milliseconds(1000);
/// Messages indexed in one go.
constexpr std::size_t kIndexPiece = 256;
}  // namespace

Result<std::shared_ptr<Store>> Store::open(StoreSettings settings, Disk& disk, Clock& clock) {
  if (settings.host.empty()) {
    char name[256] = {};
    settings.host = ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
  }
  settings.host = safe_host(settings.host);
  auto store = std::make_shared<StoreImpl>(std::move(settings), disk, clock);
  store->start();
  return std::static_pointer_cast<Store>(store);
}

StoreImpl::StoreImpl(StoreSettings settings, Disk& disk, Clock& clock) : context_(std::make_shared<StoreContext>()) {
  context_->settings = std::move(settings);
  context_->disk = &disk;
  context_->clock = &clock;
  context_->flusher = std::make_unique<Flusher>(disk, context_->settings.flush);
  context_->pending = [this](const std::shared_ptr<Mailbox>& mailbox) { add_pending(mailbox); };
}

void StoreImpl::start() {
  if (context_->settings.watch)
    watcher_ = Watcher::start([](const std::shared_ptr<Mailbox>& mailbox) {
      if (mailbox->views() > 0 && mailbox->stale()) (void)mailbox->refresh();
    });
  writer_ = std::thread([this] { run(); });
  if (context_->settings.index_ahead) indexer_ = std::thread([this] { index_ahead(); });
}

StoreImpl::~StoreImpl() {
  {
    std::lock_guard lock(pending_mutex_);
    stop_ = true;
  }
  pending_changed_.notify_all();
  writer_.join();
  if (indexer_.joinable()) indexer_.join();
  watcher_.reset();
  write_pending();
  for (const auto& account : open_accounts())
    for (const auto& mailbox : account->open_mailboxes()) (void)mailbox->compact_files(false);
  context_->pending = {};  // views may outlive the store
  for (const auto& [key, account] : accounts_) account->close();
}

Result<std::shared_ptr<Account>> StoreImpl::account(const AccountLocation& location) {
  if (auto account = open_account(location)) return account;
  MAIL_TRY(opened, AccountImpl::open(shared_from_this(), context_, location));
  std::lock_guard lock(mutex_);
  auto& slot = accounts_[location.user + '\0' + location.maildir];
  if (!slot || !slot->same_place(location)) slot = std::move(opened);
  return std::static_pointer_cast<Account>(slot);
}

std::shared_ptr<Account> StoreImpl::open_account(const AccountLocation& location) {
  std::lock_guard lock(mutex_);
  const auto found = accounts_.find(location.user + '\0' + location.maildir);
  if (found == accounts_.end() || !found->second->same_place(location)) return nullptr;
  found->second->used();
  return found->second;
}

void StoreImpl::watch(const std::shared_ptr<Mailbox>& mailbox) {
  if (watcher_) mailbox->watched = watcher_->add(mailbox);
}

void StoreImpl::unwatch(const Mailbox* mailbox) {
  if (watcher_) watcher_->remove(mailbox);
}

std::shared_ptr<void> StoreImpl::watch_directory(const Directory& directory, std::uint32_t events, bool names,
                                                 Watcher::Happened happened) {
  return watcher_ ? watcher_->add_directory(directory, events, names, std::move(happened)) : nullptr;
}

void StoreImpl::add_pending(const std::shared_ptr<Mailbox>& mailbox) {
  {
    std::lock_guard lock(pending_mutex_);
    if (!pending_
             .try_emplace(mailbox.get(),
                          Pending{mailbox, std::chrono::steady_clock::now() + context_->settings.write_behind})
             .second)
      return;
  }
  pending_changed_.notify_all();
}

void StoreImpl::write_all(const std::shared_ptr<Mailbox>& mailbox) {
  for (;;) {
    const auto more = mailbox->write_pending(kPiece);
    if (!more)
      log_event(LogLevel::warning, "write-behind-failed",
                {{"mailbox", mailbox->folder().path()}, {"cause", more.error().text}});
    if (!more || !*more) break;
  }
  (void)mailbox->compact_files(false);
}

void StoreImpl::write_pending() {
  std::map<const Mailbox*, Pending> all;
  {
    std::lock_guard lock(pending_mutex_);
    all.swap(pending_);
  }
  for (const auto& [key, pending] : all)
    if (const auto mailbox = pending.mailbox.lock()) write_all(mailbox);
}

void StoreImpl::run() {
  auto next_round = std::chrono::steady_clock::now() + kRound;
  auto next_poll = std::chrono::steady_clock::now() + context_->settings.poll;
  std::unique_lock lock(pending_mutex_);
  while (!stop_) {
    auto wake = std::min(next_round, next_poll);
    for (const auto& [key, pending] : pending_) wake = std::min(wake, pending.due);
    pending_changed_.wait_until(lock, wake);
    if (stop_) return;
    const auto now = std::chrono::steady_clock::now();
    std::vector<std::shared_ptr<Mailbox>> due;
    for (auto at = pending_.begin(); at != pending_.end();) {
      if (at->second.due > now) {
        ++at;
        continue;
      }
      if (auto mailbox = at->second.mailbox.lock()) due.push_back(std::move(mailbox));
      at = pending_.erase(at);
    }
    lock.unlock();
    for (const auto& mailbox : due) {
      write_all(mailbox);
      if (mailbox->has_pending()) add_pending(mailbox);  // what could not be written is tried again
    }
    due.clear();
    if (now >= next_poll) poll(), next_poll = now + context_->settings.poll;
    if (now >= next_round) let_go(), next_round = now + kRound;
    lock.lock();
  }
}

std::vector<std::shared_ptr<AccountImpl>> StoreImpl::open_accounts() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<AccountImpl>> out;
  for (const auto& [key, account] : accounts_) out.push_back(account);
  return out;
}

void StoreImpl::poll() {
  for (const auto& account : open_accounts()) account->poll_watched();
  for (const auto& mailbox : viewed_mailboxes())
    if (!mailbox->watched && mailbox->stale()) (void)mailbox->refresh();
}

std::vector<std::shared_ptr<Mailbox>> StoreImpl::viewed_mailboxes() {
  std::vector<std::shared_ptr<Mailbox>> out;
  for (const auto& account : open_accounts())
    for (auto& mailbox : account->open_mailboxes())
      if (mailbox->views() > 0) out.push_back(std::move(mailbox));
  return out;
}

/// Whoever waits for an answer comes first: this thread is nice, and a mailbox that was just opened is left alone until
/// its client has had its first answers.
void StoreImpl::index_ahead() {
  give_way();
  const auto stopped = [this](std::chrono::milliseconds wait) {
    std::unique_lock lock(pending_mutex_);
    return pending_changed_.wait_for(lock, wait, [this] { return stop_; });
  };
  while (!stopped(kIndexRound)) {
    for (const auto& mailbox : viewed_mailboxes()) {
      for (bool first = true; !mailbox->readers_first(); first = false) {
        const auto more = mailbox->index_ahead(kIndexPiece);
        // What was found and read stands in the log, one record after the other: the next process reads it as a whole.
        if (more && !*more && !first) (void)mailbox->compact_files(false);
        if (!more)
          log_event(LogLevel::warning, "index-ahead-failed",
                    {{"mailbox", mailbox->folder().path()}, {"cause", more.error().text}});
        if (!more || !*more) break;
        if (stopped({})) return;
      }
    }
  }
}

void StoreImpl::let_go() {
  // A mailbox that was found and not changed since has all in its log, which the next process would read record by
  // record.
  for (const auto& mailbox : viewed_mailboxes()) (void)mailbox->compact_files(false);
  auto accounts = open_accounts();
  const auto before = std::chrono::steady_clock::now() - kKeep;
  for (const auto& account : accounts) account->let_go(before);
  accounts.clear();
  std::lock_guard lock(mutex_);
  for (auto at = accounts_.begin(); at != accounts_.end();)
    if (at->second.use_count() == 1 && at->second->unused_since(before))
      at = accounts_.erase(at);
    else
      ++at;
}

}  // namespace mail::store
