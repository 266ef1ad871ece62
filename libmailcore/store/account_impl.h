// An account of this process: its folders, and the mailboxes of it that are in memory.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/account.h"
#include "store/mailbox_core.h"
#include "store/mailbox_name.h"

namespace mail::store {

class StoreImpl;

struct FolderWatch;  ///< account_watch.cpp

/// What delivery needs of a mailbox: no index.
struct DeliveryFolder {
  Directory directory, cur, fresh, tmp;
  dev_t device = 0;
};

class AccountImpl final : public Account, public std::enable_shared_from_this<AccountImpl> {
 public:
  static Result<std::shared_ptr<AccountImpl>> open(std::weak_ptr<StoreImpl> store,
                                                   std::shared_ptr<StoreContext> context,
                                                   const AccountLocation& location);
  ~AccountImpl() override;

  const AccountLocation& location() const override { return location_; }
  Store& store() override;

  Result<std::vector<MailboxEntry>> list() override;
  Result<MailboxEntry> find(std::string_view name) override;
  Status create(std::string_view name, std::string_view special_use) override;
  Status remove(std::string_view name) override;
  Status rename(std::string_view from, std::string_view to) override;
  Status subscribe(std::string_view name, bool subscribed) override;
  Status set_special_use(std::string_view name, std::string_view special_use) override;

  Result<std::shared_ptr<View>> select(std::string_view name, bool read_only) override;
  std::shared_ptr<View> select_ready(std::string_view name, bool read_only) override;
  Result<MailboxStatus> status(std::string_view name) override;
  std::optional<MailboxStatus> status_ready(std::string_view name) override;
  using Account::append;
  Result<CopyOutcome> append(std::string_view mailbox, std::span<const NewMessage> messages,
                             const QuotaUsage& replaced) override;
  Result<std::shared_ptr<StagedMessage>> stage(std::string_view mailbox) override;

  Result<QuotaUsage> quota_usage() override;
  QuotaLimits quota_limits() const override;
  Status set_quota_limits(QuotaLimits limits) override;
  Result<std::map<std::string, std::string>> metadata(std::string_view mailbox) override;
  Status set_metadata(std::string_view mailbox, std::string_view entry, std::optional<std::string> value) override;
  Result<std::optional<std::string>> access_key(std::string_view mailbox_id) override;
  Result<std::string> make_access_key(std::string_view mailbox_id, bool anew) override;
  Status remove_access_keys() override;
  Result<std::map<std::string, Rights>> acl(std::string_view mailbox) override;
  Status set_acl(std::string_view mailbox, std::string_view identifier, std::optional<Rights> rights) override;
  std::shared_ptr<void> on_change(std::function<void(const AccountChange&)> changed) override;
  Result<std::shared_ptr<void>> watch(std::span<const std::string> mailboxes) override;

  // For the store and delivery.
  Result<std::shared_ptr<Mailbox>> mailbox(std::string_view name);
  std::shared_ptr<Mailbox> mailbox_ready(std::string_view name);
  Result<std::shared_ptr<DeliveryFolder>> delivery_folder(std::string_view name);
  /// Error EDQUOT where so much more would be over the limits.
  Status check_quota(std::uint64_t octets, std::uint64_t messages);
  void add_usage(std::int64_t octets, std::int64_t messages);
  bool same_place(const AccountLocation& other) const {
    return other.maildir == location_.maildir && other.index_directory == location_.index_directory &&
           other.quota == location_.quota;
  }
  void used() { last_used_ = std::chrono::steady_clock::now(); }
  bool unused_since(std::chrono::steady_clock::time_point time) const;
  void let_go(std::chrono::steady_clock::time_point unused_since);
  void close();
  std::vector<std::shared_ptr<Mailbox>> open_mailboxes();
  /// Looks at what watch() was asked for and the kernel does not tell.
  void poll_watched();
  StoreContext& context() { return *context_; }
  const Directory& root() const { return root_; }
  Result<Directory> open_folder(const std::string& folder);
  NameRules rules() const;

 private:
  AccountImpl(std::weak_ptr<StoreImpl> store, std::shared_ptr<StoreContext> context, AccountLocation location);
  Result<Directory> open_index(const std::string& folder);
  UidValidity new_uid_validity();
  Result<std::map<std::string, std::string>> read_properties(const Directory& folder);
  QuotaLimits limits_in_force();  ///< What SETQUOTA has set, else the location's.
  Status change_property(const Directory& folder, const std::string& mailbox, const std::string& key,
                         const std::optional<std::string>& value);
  Result<std::map<std::string, std::string>> read_server_properties();
  /// Reads, changes and writes them under their lock; `change` says whether there is something to write.
  Status change_server_properties(const std::function<bool(std::map<std::string, std::string>&)>& change);
  Result<std::vector<std::string>> subscriptions();
  Status write_subscriptions(const std::vector<std::string>& names);
  std::string use_of(const std::string& name, const Directory* folder);
  void tell_changed(const AccountChange& change);
  void tell_names_changed();
  Status change_acl(const Directory& folder, const std::string& mailbox, const std::string& identifier,
                    const std::optional<Rights>& rights);
  Result<std::shared_ptr<FolderWatch>> watch_folder(const std::string& name);
  std::int64_t folder_times(const std::string& name);
  void watch_names();
  void forget(const std::string& name);
  Status remove_tree(const Directory& parent, const std::string& name);
  Result<QuotaUsage> count_usage();
  Result<std::optional<std::pair<QuotaLimits, QuotaUsage>>> read_maildirsize();
  Status write_maildirsize(const QuotaUsage& usage);

  std::weak_ptr<StoreImpl> store_;
  std::shared_ptr<StoreContext> context_;
  AccountLocation location_;
  Directory root_, index_root_;
  std::shared_ptr<SummaryCache> summaries_;
  std::shared_ptr<TextIndex> texts_;
  std::mutex open_mutex_;  // one mailbox is opened at a time
  std::mutex mutex_;
  struct Open {
    std::shared_ptr<Mailbox> mailbox;
    std::chrono::steady_clock::time_point used;
  };
  std::map<std::string, Open, std::less<>> mailboxes_;
  std::map<std::string, std::shared_ptr<DeliveryFolder>> delivery_folders_;
  std::atomic<std::chrono::steady_clock::time_point> last_used_{std::chrono::steady_clock::now()};

  std::mutex list_mutex_;
  struct ListCache {
    std::int64_t root_time = -1, subscriptions_time = -1, taken = 0;
    std::vector<MailboxEntry> entries;
  } list_cache_;

  std::mutex quota_mutex_;
  QuotaLimits limits_;

  struct Listeners {
    std::mutex mutex;
    std::uint64_t last = 0;
    std::map<std::uint64_t, std::function<void(const AccountChange&)>> all;
    std::atomic<bool> any{false};  // every change of a mailbox asks
    void tell(const AccountChange& change);
  };
  std::shared_ptr<Listeners> listeners_ = std::make_shared<Listeners>();

  // account_watch.cpp: what watch() was asked for. names_mutex_ is held while this process changes names, so that what
  // the kernel tells of it finds it known already.
  struct KnownName {
    bool exists = false, subscribed = false;
  };
  std::recursive_mutex names_mutex_;
  std::map<std::string, KnownName> known_names_;
  bool names_known_ = false;
  /// Of what is watched, METADATA and rights as they were told last. notes_mutex_ is held while this process changes
  /// them, for the same reason.
  struct Notes {
    std::map<std::string, std::string> entries;
    std::map<std::string, Rights> rights;
  };
  Notes read_notes(const std::string& mailbox);
  void tell_notes_changed(const std::string& mailbox);
  void changed_here(const std::string& mailbox, const std::map<std::string, std::string>& before,
                    const std::map<std::string, std::string>& after);
  std::mutex notes_mutex_;
  std::map<std::string, Notes> known_notes_;  ///< By mailbox; the account's own under "".
  std::mutex watch_mutex_;
  std::map<std::string, std::weak_ptr<FolderWatch>> folder_watches_;
  std::shared_ptr<void> root_watch_;
  std::size_t watch_tokens_ = 0;
};

}  // namespace mail::store
