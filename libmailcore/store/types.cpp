#include "store/types.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::store {

UidSet::UidSet(std::vector<UidRange> ranges) {
  for (auto& range : ranges)
    if (range.first > range.last) std::swap(range.first, range.last);
  std::sort(ranges.begin(), ranges.end(), [](const UidRange& a, const UidRange& b) { return a.first < b.first; });
  for (const auto& range : ranges) add(range.first, range.last);
}

void UidSet::add(Uid first, Uid last) {
  if (first > last) std::swap(first, last);
  if (ranges_.empty() || number(first) > std::uint64_t{number(ranges_.back().last)} + 1) {
    ranges_.push_back({first, last});
    return;
  }
  if (first >= ranges_.back().first) {  // the usual case: touches only the last range
    ranges_.back().last = std::max(ranges_.back().last, last);
    return;
  }
  // Somewhere before: every range that touches the new one is taken into it.
  auto from = std::lower_bound(ranges_.begin(), ranges_.end(), first, [](const UidRange& r, Uid uid) {
    return std::uint64_t{number(r.last)} + 1 < number(uid);
  });
  auto to = from;
  for (; to != ranges_.end() && number(to->first) <= std::uint64_t{number(last)} + 1; ++to) {
    first = std::min(first, to->first);
    last = std::max(last, to->last);
  }
  from = ranges_.erase(from, to);
  ranges_.insert(from, {first, last});
}

bool UidSet::contains(Uid uid) const {
  const auto found =
      std::lower_bound(ranges_.begin(), ranges_.end(), uid, [](const UidRange& r, Uid u) { return r.last < u; });
  return found != ranges_.end() && found->first <= uid;
}

std::uint64_t UidSet::count() const {
  std::uint64_t total = 0;
  for (const auto& range : ranges_) total += number(range.last) - number(range.first) + std::uint64_t{1};
  return total;
}

std::string UidSet::text() const {
  std::string out;
  for (const auto& range : ranges_) {
    if (!out.empty()) out += ',';
    append_decimal(out, number(range.first));
    if (range.first == range.last) continue;
    out += ':';
    append_decimal(out, number(range.last));
  }
  return out;
}

}  // namespace mail::store
