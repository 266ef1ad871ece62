// What SEARCH, SORT and THREAD compare, column by column, for mailboxes that were asked lately: a message's content
// never changes under its UID, so all sessions on a mailbox share it. Some 400 octets a message, bounded for all
// together.
#pragma once
#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "imap/search_program.h"
#include "message/thread.h"
#include "store/mailbox.h"

namespace mail::imapd {

/// Texts of many messages in one string.
class TextColumn {
 public:
  void add(std::string_view text) {
    all_ += text;
    ends_.push_back(all_.size());
  }
  std::string_view operator[](std::size_t index) const {
    const auto begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(all_).substr(begin, ends_[index] - begin);
  }
  void append(const TextColumn& more) {
    for (const auto end : more.ends_) ends_.push_back(all_.size() + end);
    all_ += more.all_;
  }
  std::size_t size() const { return ends_.size(); }

 private:
  std::string all_;
  std::vector<std::size_t> ends_;
};

class Columns {
 public:
  enum class Text : std::uint8_t {
    search_from,
    search_to,
    search_cc,
    search_bcc,
    search_subject,
    base_subject,
    sort_from,
    sort_to,
    sort_cc,
    display_from,
    display_to,
    message_id,
    references,
  };
  static constexpr std::size_t kTexts = 13;
  static constexpr std::size_t kMostMessages = 300'000;  ///< Larger mailboxes are read from the index each time.

  /// Takes in what the view has above the highest UID known. False where some of `uids` are not held all the same.
  /// [disk, where ready() says false]
  bool cover(const store::View& view, const store::UidSet& uids);
  bool ready(const store::View& view, const store::UidSet& uids) const;
  /// Adds these messages; what the index does not know of them is read: for one that nobody else has.
  void fill(const store::View& view, const store::UidSet& uids, store::SummaryDepth depth);
  /// Those of `within` whose text contains `needle`, which is folded already.
  store::UidSet containing(Text column, std::string_view needle, const store::UidSet& within) const;
  /// `uids` in the order that the keys say, as sequence numbers or UIDs.
  std::vector<std::uint32_t> sorted(const std::vector<imap::SortKey>& keys, const store::View& view,
                                    const store::UidSet& uids, bool as_uids);
  /// THREAD's answer, without `* THREAD `.
  std::string threads(std::string_view algorithm, const store::View& view, const store::UidSet& uids, bool as_uids);
  std::size_t messages() const;

 private:
  struct Order {
    std::vector<std::uint32_t> indices;  ///< Sorted; equal ones in the order of the mailbox.
    std::vector<std::uint32_t> ranks;    ///< By index; equal texts have equal ranks.
  };
  struct Threaded {
    std::string algorithm;
    store::UidSet uids;
    std::vector<message::ThreadNode> threads;
    std::string as_uids;
  };
  bool holds(const store::UidSet& uids) const;
  store::Uid last() const { return uids_.empty() ? store::Uid{} : uids_.back(); }
  void append(const Columns& more);
  template <class Function>
  void for_indices(const store::UidSet& uids, Function function) const;
  const Order& order_of(imap::SortKey::By by);
  std::shared_ptr<const Threaded> thread(std::string_view algorithm, const store::UidSet& uids);

  mutable std::shared_mutex mutex_;
  std::vector<store::Uid> uids_;
  std::vector<std::int64_t> sent_;
  std::vector<bool> is_reply_;
  std::array<TextColumn, kTexts> texts_;
  std::mutex derived_mutex_;  // of what follows; under a shared mutex_
  std::array<std::shared_ptr<const Order>, 10> orders_;
  std::array<std::shared_ptr<const Threaded>, 3> threaded_;
};

/// Whether sorted() needs the messages' sizes: View::complete_sizes().
bool sorts_by_size(const std::vector<imap::SortKey>& keys);

class ColumnsCache {
 public:
  /// The columns of the view's mailbox, with `uids` in them. [disk, where ready() says false]
  std::shared_ptr<Columns> of(store::View& view, const store::UidSet& uids);
  bool ready(store::View& view, const store::UidSet& uids);

 private:
  std::shared_ptr<Columns> shared(store::View& view);
  static constexpr std::size_t kMostMessages = 1'000'000;
  struct Entry {
    std::string key;
    std::shared_ptr<Columns> columns;
  };
  std::mutex mutex_;
  std::list<Entry> recent_;  // most recent first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
};

}  // namespace mail::imapd
