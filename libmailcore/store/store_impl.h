// The Store of a process: accounts, watcher, and the thread that writes behind and lets go of what is not used.
#pragma once
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "store/account_impl.h"
#include "store/mailbox_core.h"
#include "store/store.h"
#include "store/watch.h"

namespace mail::store {

class StoreImpl final : public Store, public std::enable_shared_from_this<StoreImpl> {
 public:
  StoreImpl(StoreSettings settings, Disk& disk, Clock& clock);
  ~StoreImpl() override;
  void start();

  Result<std::shared_ptr<Account>> account(const AccountLocation& location) override;
  std::shared_ptr<Account> open_account(const AccountLocation& location) override;
  void write_pending() override;
  const StoreSettings& settings() const override { return context_->settings; }

  const std::shared_ptr<StoreContext>& context() const { return context_; }
  /// Watches a mailbox from now on, where that is possible.
  void watch(const std::shared_ptr<Mailbox>& mailbox);
  void unwatch(const Mailbox* mailbox);
  bool watches() const { return watcher_ != nullptr; }
  /// See Watcher::add_directory(); nullptr also where nothing is watched.
  std::shared_ptr<void> watch_directory(const Directory& directory, std::uint32_t events, bool names,
                                        Watcher::Happened happened);

 private:
  using Time = std::chrono::steady_clock::time_point;
  void add_pending(const std::shared_ptr<Mailbox>& mailbox);
  void write_all(const std::shared_ptr<Mailbox>& mailbox);
  void run();
  void poll();
  void let_go();
  void index_ahead();
  std::vector<std::shared_ptr<AccountImpl>> open_accounts();
  std::vector<std::shared_ptr<Mailbox>> viewed_mailboxes();

  std::shared_ptr<StoreContext> context_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<AccountImpl>> accounts_;

  std::mutex pending_mutex_;
  std::condition_variable pending_changed_;
  struct Pending {
    std::weak_ptr<Mailbox> mailbox;
    Time due;
  };
  std::map<const Mailbox*, Pending> pending_;
  bool stop_ = false;
  std::thread writer_;
  std::thread indexer_;
  std::shared_ptr<Watcher> watcher_;
};

}  // namespace mail::store
