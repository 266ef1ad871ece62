// CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267): searches whose client is told how their result changes, by ADDTO and
// REMOVEFROM. UPDATE's fetch-att: RFC 5465 section 7.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "imap/search_program.h"
#include "imapd/command.h"
#include "imapd/fetch_items.h"
#include "store/mailbox.h"

namespace mail::imapd {

class Session;

/// One searching command with UPDATE, and what its client knows of the result.
struct SearchContext {
  std::string tag{};
  bool uids = false;                   ///< A UID command: its answers name UIDs.
  imap::SearchKey key{};               ///< See without_numbers().
  std::vector<imap::SortKey> sort{};   ///< Empty: SEARCH.
  std::vector<Wanted> wanted{};        ///< Sent of messages that arrive in the result.
  store::UidSet found{};               ///< What the client has been told.
  std::vector<std::uint32_t> order{};  ///< SORT: the same as UIDs in its order.
  store::ModSeq checked{};             ///< Messages changed up to here are in `found` where they belong.
  store::Uid last{};                   ///< Messages above have arrived since.
};

class SearchContexts {
 public:
  /// Of one session; the first SEARCH is always admitted (section 4.3.1).
  static constexpr std::size_t kMost = 16;
  /// Messages in the results of all contexts of SORT, four octets each.
  static constexpr std::size_t kMostSorted = 200'000;

  bool empty() const { return contexts_.empty(); }
  bool uses(std::string_view tag) const;
  /// False where the limits refuse it: NOUPDATE.
  bool add(SearchContext context);
  void cancel(std::string_view tag);
  void clear() { contexts_.clear(); }

  /// Says REMOVEFROM for what EXPUNGE will take away next: its numbers are still those before (section 4.3.4).
  void expunged(Session& session, const store::Changes& changes);
  /// What is to be told of changed and new messages, after their FETCH and EXISTS: nullptr where there is nothing. It
  /// belongs to the session, which asks for no other before it is done.
  std::unique_ptr<Work> updates(Session& session);

 private:
  friend class ContextUpdates;
  std::vector<SearchContext> contexts_;
};

/// The key with sequence numbers and `$` replaced by the UIDs they mean now (section 4.3).
Result<imap::SearchKey> without_numbers(Session& session, imap::SearchKey key);
/// Adds a context for the command that runs, or says NOUPDATE. `context`: all but tag, checked and last; its answers
/// name UIDs also where the command is a UID command.
void keep_updated(Session& session, SearchContext context);

}  // namespace mail::imapd
