// NOTIFY (RFC 5465): what a session wants to hear of without asking, and what has come of it so far.
//
// Of the selected mailbox the session tells as in IDLE. Of others it hears by Account::on_change and watch(), on other
// threads: names wait here, each once, until the session asks a worker to look at them.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "imap/notify.h"
#include "imapd/command.h"
#include "imapd/fetch_items.h"
#include "store/account.h"

namespace mail::imapd {

class Session;

class Notify {
 public:
  static constexpr std::size_t kMostMailboxes = 10'000;  ///< Watched for one session; more: NOTIFICATIONOVERFLOW.
  static constexpr std::size_t kMostPending = 10'000;    ///< Events that wait; more: the same.

  /// What is told of the selected mailbox.
  struct Selected {
    bool messages = false;  ///< New ones and expunges; without it the session's view of the mailbox stands still.
    bool flags = false;
    bool delayed = false;        ///< EXPUNGE waits for a command that allows it.
    std::vector<Wanted> wanted;  ///< FETCH of new messages.
  };

  /// [disk] Begins to listen. Completion: why that cannot be.
  static tl::expected<std::unique_ptr<Notify>, Completion> start(Session& session, imap::NotifyArguments arguments);
  ~Notify();

  const Selected& selected() const { return selected_; }
  /// STATUS of all mailboxes that are watched (section 3.1).
  void send_all_status(Session& session);
  bool has_news() const;
  /// Tells what has come.
  std::unique_ptr<Work> news();

  /// While this lives, what its thread does to names, subscriptions, METADATA and rights is the session's own doing: it
  /// need not be told of it (section 5).
  class Acting {
   public:
    explicit Acting(const Session& session);
    ~Acting();
    Acting(const Acting&) = delete;
    Acting& operator=(const Acting&) = delete;

   private:
    const Session* before_;
  };

 private:
  friend class NotifyNews;
  struct Group {
    imap::MailboxFilter::Kind kind;
    std::vector<std::string> names;  ///< As the store knows them.
    unsigned events;
  };
  /// Filled on other threads.
  struct Pending {
    std::mutex mutex;
    std::set<std::string> messages;
    std::vector<store::AccountChange> others;
    bool lost = false;
    void add(store::AccountChange change);
  };
  struct Told {
    std::uint64_t modseq = 0;
    std::uint32_t messages = 0, uid_next = 0, uid_validity = 0, unseen = 0;
  };

  /// An account that is listened to: the user's own, or another user's that a group names a mailbox of.
  struct Source {
    std::string owner;  ///< Empty: the session's user.
    std::shared_ptr<store::Account> account;
    std::shared_ptr<void> watch{}, listener{};  // last: nothing comes any more once they are gone
  };

  explicit Notify(Session& session) : session_(session) {}
  std::shared_ptr<void> listen(const Source& source);
  std::shared_ptr<void> listen_to_server();
  void find_sources();
  Status watch();
  void look_up_subscriptions();
  void look_up_access(const Source& source, const std::string& mailbox);
  Result<std::vector<std::string>> watched_names(const Source& source);
  std::string told_name(const Source& source, const std::string& mailbox) const;
  unsigned events_of(std::string_view mailbox) const;
  bool matches(const Group& group, std::string_view mailbox) const;
  void tell(const store::AccountChange& change);
  void tell_status(const std::string& mailbox, bool all);
  void tell_name(const std::string& mailbox, std::string_view old_name);
  void tell_note(const std::string& mailbox, const std::string& entry);
  void tell_rights(const std::string& mailbox);
  void append_list(std::string_view attributes, const std::string& mailbox);
  void overflow();

  Session& session_;
  Selected selected_;
  std::vector<Group> groups_;
  std::set<std::string, std::less<>> subscribed_;  ///< Kept where a group is about them.
  std::shared_ptr<Pending> pending_ = std::make_shared<Pending>();
  std::unordered_map<std::size_t, Told> told_;  ///< By hash of the name: what the client knows of it.
  /// Of others' mailboxes, and of those whose rights have changed: whether the client may see it, and whether it has
  /// heard \NoAccess.
  struct Access {
    bool seen = false, refused = false;
  };
  std::map<std::string, Access> access_;
  std::vector<Source> sources_;  ///< Own first.
  std::shared_ptr<void> server_listener_;
};

}  // namespace mail::imapd
