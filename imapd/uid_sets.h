// Arithmetic on sets of UIDs, linear in their ranges.
#pragma once
#include <cstdint>
#include <optional>
#include <utility>

#include "store/types.h"

namespace mail::imapd {

/// The members of a set, one after the other; the set stays where it is.
class UidWalk {
 public:
  explicit UidWalk(const store::UidSet& set) : set_(&set) {}
  std::optional<store::Uid> next() {
    if (range_ == set_->ranges().size()) return std::nullopt;
    const auto& range = set_->ranges()[range_];
    const auto uid = store::Uid{store::number(range.first) + offset_};
    if (uid == range.last)
      ++range_, offset_ = 0;
    else
      ++offset_;
    return uid;
  }

 private:
  const store::UidSet* set_;
  std::size_t range_ = 0;
  std::uint32_t offset_ = 0;
};

store::UidSet intersection(const store::UidSet& a, const store::UidSet& b);
store::UidSet difference(const store::UidSet& a, const store::UidSet& b);
store::UidSet sum(const store::UidSet& a, const store::UidSet& b);
/// Those above `uid`.
store::UidSet above(const store::UidSet& set, store::Uid uid);
/// The first `count`.
store::UidSet first_of(const store::UidSet& set, std::uint64_t count);
/// PARTIAL (RFC 9394): positions first:last counted from 1, negative from the end; what is beyond the set is left out.
store::UidSet partial_of(const store::UidSet& set, std::pair<std::int64_t, std::int64_t> positions);
store::Uid lowest(const store::UidSet& set);
store::Uid highest(const store::UidSet& set);

}  // namespace mail::imapd
