// Sets of message numbers: sequence-set of RFC 9051 section 9 as it is asked for, and the compact sets that are
// answered.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cursor.h"
#include "base/result.h"

namespace mail::imap {

/// A set of numbers 1..2^32-1 as sorted ranges that neither touch nor overlap: a million consecutive UIDs cost eight
/// octets.
class NumberSet {
 public:
  struct Range {
    std::uint32_t first;
    std::uint32_t last;
    bool operator==(const Range&) const = default;
  };

  /// Adds `number`; constant time where numbers come in rising order.
  void add(std::uint32_t number) { add(number, number); }
  /// Adds first..last; first <= last, first > 0.
  void add(std::uint32_t first, std::uint32_t last);
  void remove(std::uint32_t number);
  bool contains(std::uint32_t number) const;
  bool empty() const { return ranges_.empty(); }
  void clear() { ranges_.clear(); }
  std::uint64_t count() const;
  std::uint32_t lowest() const { return ranges_.empty() ? 0 : ranges_.front().first; }
  std::uint32_t highest() const { return ranges_.empty() ? 0 : ranges_.back().last; }
  const std::vector<Range>& ranges() const { return ranges_; }
  /// `2,4:7,9`; empty for the empty set.
  std::string text() const;
  void append_to(std::string& out) const;
  bool operator==(const NumberSet&) const = default;

  template <class Function>
  void for_each(Function function) const {
    for (const auto& range : ranges_)
      for (std::uint64_t number = range.first; number <= range.last; ++number)
        function(static_cast<std::uint32_t>(number));
  }

 private:
  std::vector<Range> ranges_;
};

/// sequence-set as written: `*` is not yet a number, order and overlaps are as they came. `$` (RFC 5182) refers to the
/// saved result.
class SequenceSet {
 public:
  static constexpr std::uint32_t kStar = 0;
  /// More elements than any client sends; what is longer is refused with BAD.
  static constexpr std::size_t kMostRanges = 200'000;

  /// Takes a set from the cursor; declines, consuming nothing, where there is none or it is malformed.
  static std::optional<SequenceSet> take(Cursor& cursor);
  /// The whole of `text`.
  static Result<SequenceSet> parse(std::string_view text);

  bool saved() const { return saved_; }
  bool has_star() const;
  /// The numbers named, `*` being `highest` (RFC 9051: `559:*` holds `highest` even where that is less than 559). With
  /// `highest` 0 (empty mailbox) only what is written without `*` remains.
  NumberSet resolve(std::uint32_t highest) const;
  std::string text() const;
  bool operator==(const SequenceSet&) const = default;

 private:
  std::vector<NumberSet::Range> ranges_;  ///< As written; kStar for `*`.
  bool saved_ = false;
};

}  // namespace mail::imap
