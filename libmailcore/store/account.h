// One user's mailboxes: list, create, delete, rename, subscribe, special use, quota, metadata, rights. Names are UTF-8
// with the store's separator.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/quota.h"
#include "store/store.h"
#include "store/types.h"

namespace mail::store {

class Mailbox;
class View;

struct MailboxEntry {
  std::string name;    ///< UTF-8. "INBOX" for the inbox.
  bool exists = true;  ///< false: only a parent of others (\NonExistent, \Noselect).
  bool has_children = false;
  bool subscribed = false;  ///< A subscribed name that does not exist has exists == false.
  std::string special_use;  ///< "\\Sent" … (RFC 6154), or empty.
  bool marked = false;      ///< There are files in `new`.
};

struct MailboxStatus {
  std::uint32_t messages = 0, unseen = 0, recent = 0, deleted = 0;
  Uid uid_next{1};
  UidValidity uid_validity{};
  ModSeq highest_modseq{1};
  std::uint64_t octets = 0;  ///< STATUS=SIZE (RFC 8438): sum of RFC822.SIZE.
  std::uint64_t deleted_octets = 0;
  std::string mailbox_id;  ///< OBJECTID (RFC 8474).
};

/// One message for append(). The body's line ends may be CRLF (protocols) or LF.
struct NewMessage {
  std::string_view octets;                      ///< Content; or, where `staged` is set, unused.
  std::shared_ptr<class StagedMessage> staged;  ///< Written piece by piece before (large APPEND literals, CATENATE).
  Flags flags = Flags::none;
  std::vector<std::string> keywords;
  std::optional<std::int64_t> internal_date;  ///< Default: now.
  std::string id;  ///< Idempotency: a second append with the same id into the same mailbox finds the first and does
                   ///< nothing. Empty: none.
};

/// A message body being written to `tmp` before it is appended: memory is bounded, however large the literal. Removed
/// again unless appended.
class StagedMessage {
 public:
  virtual ~StagedMessage() = default;
  virtual Status write(std::string_view octets) = 0;  ///< [disk, unflushed] CRLF or LF; stored with LF.
  virtual std::uint64_t octets() const = 0;           ///< So far, with CRLF line ends.
  /// [disk] What was written so far, to be copied from (CATENATE).
  virtual Result<std::shared_ptr<class MessageFile>> content() = 0;
};

/// UIDs given by APPEND, COPY, MOVE (RFC 4315): source.ranges()[i] pairs with destination in order.
struct CopyOutcome {
  UidValidity uid_validity{};
  UidSet source;       ///< Empty for APPEND.
  UidSet destination;  ///< In the order of the source.
};

/// What Account::on_change() tells.
struct AccountChange {
  enum class Kind : std::uint8_t {
    messages,  ///< Of `mailbox`: look at its status().
    created,
    removed,
    renamed,  ///< From `old_name`, with its children.
    subscription,
    metadata,  ///< `entry` of `mailbox`, or of the account where that is empty.
    rights,    ///< The list of `mailbox`.
  } kind = Kind::messages;
  std::string mailbox;
  std::string old_name{};
  std::string entry{};
};

/// RFC 4314 rights as their letters.
using Rights = std::string;

class Account {
 public:
  virtual ~Account() = default;
  virtual const AccountLocation& location() const = 0;
  virtual Store& store() = 0;

  // Names. not_found: no such mailbox. refused: the name cannot be (.., NUL, control characters, over-long, empty
  // parts); exists already; INBOX.
  /// [disk] All mailboxes, sorted, INBOX first, with missing parents as non-existent entries.
  virtual Result<std::vector<MailboxEntry>> list() = 0;
  virtual Result<MailboxEntry> find(std::string_view name) = 0;  ///< [disk] not_found where it does not exist.
  virtual Status create(std::string_view name, std::string_view special_use = {}) = 0;  ///< [disk]
  virtual Status remove(std::string_view name) = 0;  ///< [disk] Children stay (RFC 9051 6.3.5). INBOX is refused.
  virtual Status rename(std::string_view from,
                        std::string_view to) = 0;  ///< [disk] With children; INBOX's messages move (6.3.6).
  virtual Status subscribe(std::string_view name, bool subscribed) = 0;  ///< [disk] The name need not exist.
  virtual Status set_special_use(std::string_view name, std::string_view special_use) = 0;  ///< [disk]

  // Mailboxes.
  /// [disk] Loads or refreshes; [memory] where open_ready() would succeed. `read_only` is EXAMINE: nothing is claimed
  /// as recent.
  virtual Result<std::shared_ptr<View>> select(std::string_view name, bool read_only) = 0;
  /// [memory, a few fstat] As select where the mailbox is in memory and nothing changed on disk; else nullptr: use
  /// select() on a worker.
  virtual std::shared_ptr<View> select_ready(std::string_view name, bool read_only) = 0;
  virtual Result<MailboxStatus> status(std::string_view name) = 0;               ///< [disk]
  virtual std::optional<MailboxStatus> status_ready(std::string_view name) = 0;  ///< [memory, a few fstat]

  /// [disk] Appends all or nothing (MULTIAPPEND, RFC 3502), durable when it returns. not_found: TRYCREATE.
  /// refused with errno EDQUOT: over quota. permanent: larger than append_octets (TOOBIG).
  /// `replaced`: what goes once these have come; the quota sees the difference (REPLACE, RFC 8508 section 3.4).
  virtual Result<CopyOutcome> append(std::string_view mailbox, std::span<const NewMessage> messages,
                                     const QuotaUsage& replaced) = 0;
  Result<CopyOutcome> append(std::string_view mailbox, std::span<const NewMessage> messages) {
    return append(mailbox, messages, {});
  }
  virtual Result<std::shared_ptr<StagedMessage>> stage(std::string_view mailbox) = 0;  ///< [disk]

  // Quota.
  virtual Result<QuotaUsage> quota_usage() = 0;  ///< [disk]
  virtual QuotaLimits quota_limits() const = 0;
  virtual Status set_quota_limits(
      QuotaLimits limits) = 0;  ///< [disk] SETQUOTA: instead of the location's from now on, and written to maildirsize.

  // METADATA (RFC 5464). `mailbox` empty: the server's entries of this account. Entry names start with "/private/" or
  // "/shared/", lower case.
  virtual Result<std::map<std::string, std::string>> metadata(std::string_view mailbox) = 0;  ///< [disk]
  virtual Status set_metadata(std::string_view mailbox, std::string_view entry,
                              std::optional<std::string> value) = 0;  ///< [disk]

  // URLAUTH (RFC 4467 section 2.2): this account's access key of each mailbox, by mailbox id: 32 random octets.
  virtual Result<std::optional<std::string>> access_key(std::string_view mailbox_id) = 0;  ///< [disk]
  /// [disk] The key; made where there is none, and where `anew` in place of the one that was.
  virtual Result<std::string> make_access_key(std::string_view mailbox_id, bool anew) = 0;
  virtual Status remove_access_keys() = 0;  ///< [disk] All of them.

  // ACL (RFC 4314), in `dovecot-acl` of the mailbox. Identifiers: "user=ann", "anyone", "owner", with "-" in front for
  // negative rights. set_acl: not_found where there is no such mailbox.
  /// [one open where there is none; else disk] What the list means is in store/rights.h. Empty also where there is no
  /// such mailbox.
  virtual Result<std::map<std::string, Rights>> acl(std::string_view mailbox) = 0;
  virtual Status set_acl(std::string_view mailbox, std::string_view identifier,
                         std::optional<Rights> rights) = 0;  ///< [disk]

  /// Tells what this process does to the account's mailboxes, for NOTIFY; with watch(), also what others do. Called on
  /// the thread that does it, or one of the store's; must not call the account. Destroying the token ends it (and waits
  /// for a running call).
  virtual std::shared_ptr<void> on_change(std::function<void(const AccountChange&)> changed) = 0;
  /// [disk] As long as the token lives, on_change() also hears of what other programs do to the names, subscriptions
  /// and METADATA of the account, and to the messages, METADATA and rights of `mailboxes`, which need not be open for
  /// that; those that do not exist are passed over. All tokens share the kernel's watches. Without inotify the folders
  /// are looked at every StoreSettings::poll. Error ENOSPC: the kernel, or this process, has no room for so many
  /// watches.
  virtual Result<std::shared_ptr<void>> watch(std::span<const std::string> mailboxes) = 0;
};

/// RFC 6154 and 8457 uses; default names that carry a use without a setting ("Sent" is \Sent …), as most servers do.
bool is_special_use(std::string_view attribute);

}  // namespace mail::store
