// A mailbox in memory: parallel arrays, one element per message, about 90 octets with its name. No files, no locks:
// Mailbox has those.
//
// Rows are appended in UID order and only tombstoned by an expunge, so that views that have not been told yet keep
// their sequence numbers; compact() takes tombstones out when no view needs them.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/record.h"
#include "store/types.h"

namespace mail::store {

using RowNumber = std::uint32_t;

/// Flags as the file name has them, where they differ from the row's: to be written behind.
struct DiskFlags {
  Flags flags = Flags::none;
  KeywordBits keywords = 0;
};
inline constexpr KeywordBits kLetterBits = (KeywordBits{1} << 26) - 1;
/// Flags::forwarded is written both as the letter P and as this keyword, which is how Dovecot has it; either says it.
inline constexpr std::string_view kForwardedKeyword = "$Forwarded";

struct Grave {
  bool in_new = false;
  std::string name;
};

/// One commit that changed flags: what other views are told.
struct FlagNotice {
  ModSeq modseq{};
  std::uint64_t origin = 0;  ///< The view that did it, or 0.
  UidSet uids;
};

class Image {
 public:
  // Columns' elements.
  RowNumber rows() const { return static_cast<RowNumber>(uid_.size()); }
  Uid uid(RowNumber row) const { return uid_[row]; }
  Flags flags(RowNumber row) const { return flags_[row]; }
  KeywordBits keywords(RowNumber row) const { return keywords_.empty() ? 0 : keywords_[row]; }
  ModSeq modseq(RowNumber row) const { return modseq_[row]; }
  std::int64_t internal_date(RowNumber row) const { return internal_date_[row]; }
  std::int64_t save_date(RowNumber row) const { return save_date_[row]; }
  std::uint64_t file_octets(RowNumber row) const { return file_octets_[row]; }
  std::uint64_t wire_octets(RowNumber row) const { return wire_octets_[row]; }
  std::uint64_t summary(RowNumber row) const { return summary_[row]; }
  std::uint64_t filter(RowNumber row) const { return filter_.empty() ? 0 : filter_[row]; }
  bool tombstone(RowNumber row) const { return (state_[row] & kTombstone) != 0; }
  bool in_new(RowNumber row) const { return (state_[row] & kInNew) != 0; }
  bool dirty(RowNumber row) const { return (state_[row] & (kDirty | kInNew)) != 0; }
  std::string base(RowNumber row) const;  ///< With sizes.
  /// The file name's first part, which is what makes it unique; valid until the image changes.
  std::string_view stem(RowNumber row) const {
    return std::string_view(names_).substr(name_at_[row], name_octets_[row]);
  }
  bool has_base(RowNumber row, std::string_view wanted) const;
  std::string file_name(RowNumber row) const;    ///< As it is on disk now: in `new` or `cur`.
  std::string wanted_name(RowNumber row) const;  ///< In `cur`, with the row's flags.
  DiskFlags disk_flags(RowNumber row) const;
  MessageRow message(RowNumber row) const;

  RowNumber lower_bound(Uid uid) const;          ///< The first row whose UID is not below; rows() where there is none.
  std::optional<RowNumber> find(Uid uid) const;  ///< Tombstones too.

  // The mailbox.
  UidValidity uid_validity{};
  std::string guid;
  Uid uid_next{1};
  Uid first_recent{1};
  Uid durable{};  ///< Messages up to it need no look at their files after a crash.
  ModSeq modseq_highest{1};
  ModSeq history_from{1};  ///< Expunges after it are all in expunged_history().
  Stamp stamp;
  const std::vector<std::string>& keyword_names() const { return keyword_names_; }
  std::optional<std::uint8_t> keyword_bit(std::string_view name) const;  ///< ASCII case-insensitive (RFC 9051 2.3.2).
  std::uint32_t messages() const { return rows() - static_cast<RowNumber>(tombstones_->size()); }
  std::uint32_t unseen() const { return unseen_; }
  std::uint32_t deleted() const { return deleted_; }
  std::uint64_t octets_total() const { return octets_; }  ///< Of files.
  bool sizes_known() const { return unknown_sizes_ == 0; }
  /// Rows that were expunged and not compacted, ascending. Shared: replaced, never changed.
  std::shared_ptr<const std::vector<RowNumber>> tombstones() const { return tombstones_; }
  const std::vector<RowNumber>& dirty_rows() const {
    return dirty_rows_;
  }  ///< Candidates: those with dirty(row), and stale ones.
  const std::deque<Grave>& graves() const { return graves_; }
  const std::deque<FlagNotice>& notices() const { return notices_; }
  std::uint64_t notices_end() const { return notices_first_ + notices_.size(); }
  std::uint64_t notices_first() const { return notices_first_; }
  void forget_notices(std::uint64_t before);
  struct ExpungedRange {
    ModSeq modseq{};
    UidRange uids;
  };
  const std::vector<ExpungedRange>& expunged_history() const { return history_; }

  /// Applies one record. Rows that do not exist are skipped: applying twice is harmless.
  void apply(const Record& record, std::uint64_t origin = 0);
  /// Removes tombstoned rows. Returns nothing; row numbers change.
  void compact();
  /// Goes on as `now`, the same mailbox read anew after more has happened than this image was told of. Row numbers
  /// stay: what is gone becomes tombstones, what changed a notice. @return false, and nothing done, where `now` cannot
  /// have come of this.
  bool go_on_as(Image& now);

  /// All of it as one file, and back; syntax for anything that is not whole and unchanged.
  std::string snapshot(std::uint64_t generation, std::uint64_t log_octets) const;
  struct Loaded;
  static Result<Loaded> parse(std::string_view octets);
  std::size_t memory_octets() const;

 private:
  static constexpr std::uint8_t kTombstone = 1, kInNew = 2, kDirty = 4, kOdd = 8, kSizesInName = 16;

  void add(const AddedRow& row, ModSeq modseq);
  void change(const record::FlagsChanged& r, std::uint64_t origin);
  void expunge(const record::Expunged& r);
  void mark_dirty(RowNumber row, DiskFlags before);
  void account(RowNumber row, int sign);
  void set_keywords(RowNumber row, KeywordBits keywords);
  void note_keywords();
  void copy_row(const Image& from, RowNumber row);
  template <class Function>
  void for_rows(const UidSet& uids, Function&& function);

  std::vector<Uid> uid_;
  std::vector<Flags> flags_;
  std::vector<std::uint8_t> state_;
  std::vector<ModSeq> modseq_;
  std::vector<KeywordBits> keywords_;  // empty until a message has one
  std::vector<std::int64_t> internal_date_;
  std::vector<std::uint32_t> save_date_;
  std::vector<std::uint32_t> file_octets_, wire_octets_;
  std::vector<std::uint64_t> summary_;
  std::vector<std::uint64_t> filter_;  // empty until the first text search
  std::vector<std::uint32_t> name_at_;
  std::vector<std::uint8_t> name_octets_;
  std::string names_;

  std::map<Uid, DiskFlags> disk_flags_;   ///< Only where kDirty.
  std::map<Uid, std::string> odd_names_;  ///< Only where kOdd.
  std::vector<RowNumber> dirty_rows_;
  std::deque<Grave> graves_;
  std::vector<std::string> keyword_names_;
  KeywordBits forwarded_ = 0;  ///< The bit of kForwardedKeyword, where it has one.
  std::deque<FlagNotice> notices_;
  std::uint64_t notices_first_ = 0;
  std::vector<ExpungedRange> history_;
  std::shared_ptr<const std::vector<RowNumber>> tombstones_ = std::make_shared<const std::vector<RowNumber>>();
  std::uint32_t unseen_ = 0, deleted_ = 0, unknown_sizes_ = 0;
  std::uint64_t octets_ = 0;
};

struct Image::Loaded {
  Image image;
  std::uint64_t generation = 0;  ///< Of the log that goes with the snapshot …
  std::uint64_t log_octets = 0;  ///< … and how much of it the snapshot holds.
};

}  // namespace mail::store
