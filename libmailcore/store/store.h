// One Store per process: the accounts that are open, the watcher (one inotify instance), the thread that writes flags
// behind, and the shared flushes.
//
// Threads. Everything of store/ may be called from any thread and is synchronous. What a call costs is said by one of
// these words:
//   [memory]  never waits for the disk: may run on an event loop.
//   [disk]    reads or writes, and may wait for a flush: belongs on the worker pool. Calls of many sessions share their
//   flushes.
// One session makes one call at a time on its View; the Mailbox behind it is shared by all sessions.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/disk.h"
#include "base/result.h"
#include "store/quota.h"

namespace mail::store {

class Account;

/// What an account is and where: from directory/ (user, home) and the configuration.
struct AccountLocation {
  std::string user;             ///< The key under which it is shared in the process; for messages.
  std::string maildir;          ///< Absolute path of the Maildir++ root (holds cur, new, tmp). Made on first use.
  std::string index_directory;  ///< Empty: beside the mail. Else an absolute path on a local disk, one folder per
                                ///< mailbox below it (mail on NFS).
  QuotaLimits quota;
};

struct StoreSettings {
  char separator = '.';     ///< Hierarchy separator in mailbox names ('.' as Dovecot and Courier, or '/').
  bool utf8_names = false;  ///< Folder names on disk in UTF-8 rather than modified UTF-7 (Dovecot's mailbox_list_utf8 /
                            ///< UTF-8 option).
  std::uint64_t append_octets = 0;  ///< APPENDLIMIT (RFC 7889); 0: none.
  std::chrono::milliseconds write_behind{
      500};           ///< How long flags may stay only in the index before they reach the file names.
  bool watch = true;  ///< inotify. Without it (or where it fails) mailboxes are looked at by `poll`.
  std::chrono::seconds poll{10};
  unsigned parse_threads = 0;  ///< For a first visit; 0: one per core.
  /// Summaries and search filters of open mailboxes are made on a thread of the store's own, as mail comes in and for
  /// what lies there already; else when they are asked for.
  bool index_ahead = false;
  bool flush = true;  ///< false only for tests and benches: no flushes at all.
  std::string host;   ///< In file names; empty: this host's name.
};

class Store {
 public:
  static Result<std::shared_ptr<Store>> open(StoreSettings settings, Disk& disk = Disk::system(),
                                             Clock& clock = Clock::system());
  virtual ~Store() = default;
  /// [disk] The account, shared with all other sessions of this process; the Maildir is made where it is missing.
  virtual Result<std::shared_ptr<Account>> account(const AccountLocation& location) = 0;
  /// [memory] The account where it is open already (and its location is the same), else nullptr.
  virtual std::shared_ptr<Account> open_account(const AccountLocation& location) = 0;
  /// [disk] Writes all pending flags to file names now: at shutdown, and in tests.
  virtual void write_pending() = 0;
  virtual const StoreSettings& settings() const = 0;
};

}  // namespace mail::store
