// One mailbox of a process: its image in memory, its files, and the views on it. All changes go through apply().
//
// Locks, in this order: writer_ (one change or look at the disk at a time; held during disk work), the index's flock
// (other processes of this host), dovecot-uidlist's dotlock (other programs and hosts, while UIDs are given),
// image_lock_ (memory only, never held during disk work).
// Rows keep their numbers while writer_ is held: who holds it reads the image without image_lock_.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "store/account.h"
#include "store/change_log.h"
#include "store/flusher.h"
#include "store/group_commit.h"
#include "store/hot_keys.h"
#include "store/image.h"
#include "store/mailbox.h"
#include "store/store.h"
#include "store/uidlist.h"

namespace mail::store {

class SessionView;
class SummaryCache;
class TextIndex;
struct CheckReport;

/// What all mailboxes of a process share.
struct StoreContext {
  StoreSettings settings;
  Disk* disk = nullptr;
  Clock* clock = nullptr;
  std::unique_ptr<Flusher> flusher;
  std::function<void(const std::shared_ptr<Mailbox>&)> pending;  ///< A mailbox has something to write behind.
};

/// A batch of records for apply(): all or none of it happens.
struct Batch {
  std::vector<Record> records;
  std::optional<ModSeq> expected;  ///< The sequence number that the maker of the batch has seen; empty: whatever it is.
  std::uint64_t origin = 0;        ///< The view whose doing it is.
};
enum class Applied { committed, conflict, unknown };

/// A file on its way into a mailbox.
struct Incoming {
  const Directory* from = nullptr;
  std::string from_name;
  bool link = false;     ///< The source stays (COPY).
  bool carried = false;  ///< It came from another file system: by Mailbox::carry().
  Uid source{};          ///< Of COPY and MOVE.
  AddedRow row;          ///< All but the UID.
};

/// What the mailbox that messages come from is asked while they are added to another one; each may be empty.
struct Leaving {
  /// Where a source is not there: gives it the name it has now, or false.
  std::function<bool(Incoming&)> renamed;
  /// Before the source is taken away; perhaps in another thread.
  std::function<void(const Incoming&)> expected;
};

/// The messages of one APPEND, for Mailbox::append().
struct Arrival {
  std::vector<Incoming> incoming;
  std::vector<int> files;  ///< Their descriptors.
  Result<UidSet> uids = UidSet{};
};

/// What a message's file is called, or was a short while ago.
struct FilePlace {
  std::string_view name;
  bool in_new = false;
};

class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  struct Place {
    std::string name;  ///< For messages.
    Directory folder;
    Directory index;  ///< Invalid: beside the mail, in `folder`.
    std::shared_ptr<SummaryCache> summaries;
    std::shared_ptr<TextIndex> texts;
    std::function<UidValidity()> new_uid_validity;
    std::function<void()> changed;                                          ///< For Account::on_change.
    std::function<void(std::int64_t octets, std::int64_t messages)> usage;  ///< Quota: what came and went.
  };
  static Result<std::shared_ptr<Mailbox>> open(std::shared_ptr<StoreContext> context, Place place);
  ~Mailbox();

  // mailbox_core.cpp
  class Writing {
   public:
    Writing(std::unique_lock<std::mutex> held, IndexLock lock) : held_(std::move(held)), lock_(std::move(lock)) {}

   private:
    std::unique_lock<std::mutex> held_;
    IndexLock lock_;
  };
  /// Takes the locks and what other processes wrote.
  Result<Writing> begin();
  /// The one way in which a mailbox changes: log, then memory. `unknown`: the log may or may not have it; the image is
  /// read anew at the next begin().
  Applied apply(Writing& writing, const Batch& batch);
  Status applied(Writing& writing, const Batch& batch);  ///< As apply(), for batches that expect nothing.
  Status refresh();
  bool stale() const;
  bool gone() const;  ///< Its folder was removed.
  MailboxStatus status() const;
  Result<std::shared_ptr<View>> view(std::shared_ptr<Account> account, bool read_only);

  // mailbox_scan.cpp
  /// Brings image and directories together, where the stamps say they differ.
  /// @param list_locked  the caller holds the uid list's dotlock
  Status scan(Writing& writing, bool list_locked = false);

  // mailbox_change.cpp
  Result<FlagOutcome> store_flags(const FlagChange& change, std::uint64_t origin);
  Result<UidSet> expunge(const UidSet* uids, std::uint64_t origin);
  /// Pending flags and removals, at most `most` files. Returns whether there is more.
  Result<bool> write_pending(std::size_t most);
  std::map<std::string, std::pair<const Directory*, std::string>> names_by_base() const;
  bool has_pending() const;
  Result<KeywordBits> keyword_bits(Writing& writing, const std::vector<std::string>& names, bool make);
  /// The names that are stored for flags and keywords: Flags::forwarded has one.
  std::vector<std::string> stored_keywords(Flags flags, std::vector<std::string> names) const;
  Status compact_files(bool closing);  ///< New snapshot where the log has grown long; a shorter uid list.

  // mailbox_add.cpp
  /// Moves or links the files into `cur`, gives UIDs. Not durable before flush(). All or nothing. What was carried from
  /// another file system is still there too: the caller removes it after the flush.
  /// Who comes without a name (AddedRow::base) gets one here.
  Result<UidSet> add(std::vector<Incoming>& incoming, const Leaving& leaving = {});
  /// As add() and flush(), together with all others that come at the same time (mailbox_append.cpp). Not there where
  /// that fails.
  Result<UidSet> append(Arrival& arrival);
  /// Copies a file from another file system into `tmp`, durable, and moves it from there.
  Status carry(const Incoming& file, const std::string& to);
  /// The end of a MOVE, in the mailbox that the messages left; removes what was carried to another file system.
  /// Where it fails, nothing of that has been removed.
  Status leave(const std::vector<Incoming>& moved, const UidSet& uids, const Stamp& before);
  Status flush(const FlushSet& more = {});
  struct Carrying {
    bool elsewhere = false;      ///< Into another account: what is known of the messages stays behind.
    Flags flags = ~Flags::none;  ///< Those that come along …
    bool keywords = true;        ///< … and whether keywords do.
  };
  Result<CopyOutcome> transfer(const UidSet& uids, Mailbox& to, bool move, const Carrying& how);
  Result<std::shared_ptr<class StagedFile>> stage();

  /// MOVE to where it is: new UIDs for the same messages.
  Result<CopyOutcome> transfer_within(const UidSet& uids, const Carrying& how);
  /// Removes messages again that could not be made durable.
  void withdraw(const UidSet& uids);
  std::optional<Uid> find_id(std::string_view id) const;  ///< The message that was added with that id.
  UidValidity status_uid_validity() const;
  bool has_recent() const;
  /// After a crash: files of ours whose content did not come to the disk go to tmp, their messages away. Nobody was
  /// told that they are here.
  Status drop_torn(Writing& writing);
  enum class Content { whole, torn, on_its_way };
  Content content(const Directory& directory, const std::string& name) const;
  std::uint64_t file_octets() const;

  // mailbox_check.cpp
  std::vector<std::string> ids() const;  ///< That messages were added with.
  Status check(CheckReport& report);
  Status rebuild();

  // mailbox_summary.cpp
  Result<std::shared_ptr<MessageFile>> open_message(Uid uid);
  std::shared_ptr<MessageFile> cached_message(Uid uid, std::size_t most);  ///< As View::cached_message().
  /// What the message's file is called now, and its directory; nothing for what is expunged.
  std::optional<std::pair<const Directory*, std::string>> file_of(Uid uid) const;
  Result<UniqueFd> open_file(Uid uid);
  Status complete(const UidSet& uids, bool sizes_only);
  /// Makes summaries and search filters of at most `most` messages that have none, each message looked at once. Returns
  /// whether there may be more now.
  Result<bool> index_ahead(std::size_t most);

  // For views.
  std::shared_mutex& image_lock() const { return image_lock_; }
  const Image& image() const { return image_; }
  Image& image_for_views() { return image_; }
  std::uint64_t epoch() const {
    return epoch_;
  }  ///< Changes when rows are no longer the same messages (UIDVALIDITY changed).
  const std::string& name() const { return place_.name; }
  SummaryCache& summaries() const { return *place_.summaries; }
  TextIndex& texts() const { return *place_.texts; }
  HotKeys& hot_keys() const { return hot_keys_; }
  /// Puts summaries and search filters into the index, where each of `summaries` belongs to the row of `known` at its
  /// place, and each of `made` to that of `filters`. Rows without one: only what they say of sizes.
  Status keep(record::Known known, const std::vector<std::string_view>& summaries, record::Filters filters = {},
              const std::vector<std::string_view>& made = {});
  /// The record of a message, as deep as wanted (of SummaryDepth::envelope that text alone); empty where it cannot be
  /// read. [disk]
  std::string summary_of(Uid uid, SummaryDepth depth, FilePlace name = {});
  /// Someone waits for messages that are read because the index does not have them: index_ahead() gives way.
  void note_reading() { read_at_ = std::chrono::steady_clock::now().time_since_epoch().count(); }
  /// Many messages come or go: index_ahead() gives way at once, not only before its next piece.
  class Changing {
   public:
    explicit Changing(Mailbox& mailbox);
    ~Changing();
    Changing(const Changing&) = delete;
    Changing& operator=(const Changing&) = delete;

   private:
    Mailbox& mailbox_;
  };
  /// Whether it is to give way now; not for ever. For the thread that calls index_ahead().
  bool readers_first();
  /// Puts records into the index.
  Status keep_summaries(const std::vector<std::pair<Uid, std::string_view>>& records);
  unsigned parse_threads() const { return context_->settings.parse_threads; }
  bool indexes_ahead() const { return context_->settings.index_ahead; }
  void attach(SessionView& view);
  void detach(SessionView& view);
  void set_notify(SessionView& view, std::function<void()> changed);
  std::size_t views() const;
  /// From the watcher: something happened in the folder that this process did not do.
  void disturbed(bool listing);
  bool expected_event(std::uint64_t hash);
  const Directory& folder() const { return place_.folder; }
  const Directory& cur() const { return cur_; }
  const Directory& fresh() const { return new_; }
  const Directory& temporary() const { return tmp_; }
  const Directory& index_directory() const { return index(); }
  bool remote() const { return remote_; }
  std::atomic<bool> watched{false};

 private:
  friend class SessionView;
  Mailbox(std::shared_ptr<StoreContext> context, Place place);
  Status open_directories();
  Status load();
  Status start_afresh(bool known_before);
  void notify(std::uint64_t except);
  /// @param list_locked  as of stamp_uidlist()
  void look(Stamp& stamp, bool list_locked = false) const;
  Stamp stamp_after(const Stamp& before, bool list_locked) const;
  Status restamp(Writing& writing, const Stamp& before, std::vector<Record>& records);
  void expect(const Directory& directory, const std::string& name);
  const Directory& index() const { return place_.index ? place_.index : place_.folder; }
  ModSeq next_modseq() const { return static_cast<ModSeq>(number(image_.modseq_highest) + 1); }
  void forget_told();
  void pending();

  void add_group(const std::vector<Arrival*>& group);

  // mailbox_scan.cpp
  struct Found;
  struct Pass;
  struct Missed {
    std::chrono::steady_clock::time_point since;
    int listings = 0;
  };
  Status scan_once(Writing& writing, bool list_locked);
  Status scan_again(Writing& writing);
  Status list_names(bool all, std::vector<Found>& found) const;
  bool still(const Stamp& looked);  ///< Whether a change after this look shows in the directories' times.
  void note_keywords(Pass& pass) const;
  std::vector<RowNumber> wanted(const Pass& pass) const;
  void match(Pass& pass, std::vector<Found>& names) const;
  void compare(RowNumber row, const Found& file, Pass& pass) const;
  Result<bool> list_again(bool found_all, const std::function<bool(std::vector<Found>&)>& take);
  Status find_missing(Pass& pass);
  std::vector<AddedRow> describe(const std::vector<Found>& files);

  // mailbox_uids.cpp
  struct ListTail;
  using Listed = std::unordered_map<std::string_view, Uid>;
  Result<ListTail> read_list_tail() const;
  Status take_in(Pass& pass);
  Status find_listed(Pass& pass, Listed& listed, std::vector<AddedRow>& rows);
  Result<UidSet> give_uids(std::vector<AddedRow>& rows, const ListTail& tail);
  std::string whole_uidlist(Uid next, const std::vector<AddedRow>& more) const;

  std::shared_ptr<StoreContext> context_;
  Place place_;
  Directory cur_, new_, tmp_;
  std::mutex writer_;
  ChangeLog log_;
  mutable std::shared_mutex image_lock_;
  Image image_;
  std::uint64_t epoch_ = 1;
  bool reload_ = false;
  bool flush_follows_ =
      false;  ///< The change being made ends with a flush of the file system: the uid list needs none of its own.
  std::atomic<bool> suspect_{
      false};  ///< Own changes and foreign ones may have met: list the folder whatever the stamps say.
  std::atomic<std::uint64_t> scans_{0};
  std::atomic<std::uint32_t> flushed_to_{0};  ///< For the next record::Durable.
  bool check_torn_ = false;
  bool remote_ =
      false;     ///< On a network file system: other hosts' changes make no inotify event, and their clocks differ.
  Stamp still_;  ///< Since `still_since_` the directories have these times.
  std::chrono::steady_clock::time_point still_since_{};
  std::map<Uid, Missed> missed_;                            ///< Rows whose files the last listings did not have.
  std::uint64_t indexed_epoch_ = 0;                         ///< Of indexed_to_: only index_ahead() uses them.
  Uid indexed_to_{};                                        ///< Messages up to it have been looked at.
  std::atomic<std::chrono::steady_clock::rep> read_at_{0};  ///< The last note_reading().
  std::chrono::steady_clock::time_point put_off_since_{};   ///< readers_first() said so since then.
  GroupCommit<Arrival> arrivals_;
  std::atomic<int> changing_{0};  ///< See Changing.
  std::atomic<int> moving_{0};    ///< MOVEs that are taking files away: scan() need not tell of them.

  mutable std::mutex views_mutex_;
  std::set<SessionView*> views_;
  std::mutex notify_mutex_;
  std::map<SessionView*, std::function<void()>> notify_;
  std::mutex expected_mutex_;
  std::unordered_multiset<std::uint64_t> expected_;
  mutable HotKeys hot_keys_;
};

std::uint64_t event_hash(int directory_tag, std::string_view name);

/// Whether something could not be written because there is no room, or the disk is read-only.
inline bool no_room(const Error& error) {
  return error.system == ENOSPC || error.system == EDQUOT || error.system == EROFS;
}

}  // namespace mail::store
