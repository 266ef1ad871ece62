// The delivery agent: messages in, outcomes out. Pipe mode, LMTP and the daemon all end here. A batch shares its
// flushes.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "config/settings.h"
#include "directory/directory.h"
#include "mda/outcome.h"
#include "route/router.h"
#include "store/deliver.h"
#include "store/store.h"

namespace mail::mda {

/// One recipient of a message.
struct Addressee {
  std::string forward_path;  ///< What Delivered-To says.
  std::string user;  ///< The router's answer, where it was asked before; empty: it is asked now, and aliases' programs
                     ///< and files are served.
  std::string detail;
  std::string mailbox;  ///< Where the caller names one (-m); else INBOX.
  std::string key;      ///< Makes a repeated delivery find itself; empty: none.
  bool placed = false;  ///< With Item::repeated: the mailbox has had it (store::DeliveryTarget::placed).
};
struct Item {
  std::string_view content;  ///< CRLF or LF.
  std::string reverse_path;
  std::string received;  ///< Received field in front of it, or empty.
  std::vector<Addressee> addressees;
  std::string account = {};  ///< Who submitted it, for routes that ask; empty: nobody logged in.
  bool repeated = false;     ///< A process that died may have delivered it before: the mailbox is searched for it.
  bool require_tls = false;  ///< REQUIRETLS: what is sent on from here requires it too (RFC 8689 section 4.1).
  bool smtputf8 = false;     ///< Its header may be in UTF-8 (RFC 6531 section 3.4).
};

/// A message that goes on its way again, to the addresses of a .forward.
struct Onward {
  std::string reverse_path;
  std::vector<std::string> recipients;
  std::string content;
  bool require_tls = false, smtputf8 = false;  ///< As it came.
};
/// Takes it into the queue or the drop, durably.
using Inject = std::function<Status(const Onward&)>;

class Agent {
 public:
  struct Options {
    std::size_t loop_limit = 1;             ///< So many Delivered-To of ours are a loop.
    bool as_root = false;                   ///< Tests: mailboxes may be written as root.
    std::vector<std::string> config_paths;  ///< For deliveries that run as another user (mda.change_user).
  };
  /// All references must outlive this. `inject` may be empty: forwarding is then a temporary failure.
  Agent(const config::Settings& settings, const directory::Directory& users, const route::Router& router,
        store::Store& store, Inject inject, Options options, const Clock& clock = Clock::system(),
        Disk& disk = Disk::system());

  /// Delivers all; the outcomes are in the order of items and addressees. A success is durable. Blocks; thread-safe.
  std::vector<std::vector<Outcome>> deliver(std::span<const Item> items);
  /// The same without the store's flush: outcomes that are not `flushed` become durable by flush().
  std::vector<std::vector<Outcome>> deliver(std::span<const Item> items, store::Unflushed& unflushed);
  Status flush(const store::Unflushed& unflushed) { return store::flush(store_, unflushed); }

 private:
  friend class Batch;
  Result<std::shared_ptr<store::Account>> account(const directory::User& user);
  Result<std::shared_ptr<store::Account>> account_at(const store::AccountLocation& location);

  const config::Settings& settings_;
  const directory::Directory& users_;
  const route::Router& router_;
  store::Store& store_;
  Inject inject_;
  Options options_;
  const Clock& clock_;
  Disk& disk_;
  std::mutex mutex_;
  // Accounts stay open between batches; the one that was idle longest goes first.
  std::list<std::pair<std::string, std::shared_ptr<store::Account>>> recent_;
  std::unordered_map<std::string, decltype(recent_)::iterator> by_maildir_;
};

}  // namespace mail::mda
