#include "imapd/uid_sets.h"

#include <algorithm>

namespace mail::imapd {

using store::number;
using store::Uid;
using store::UidRange;
using store::UidSet;

UidSet intersection(const UidSet& a, const UidSet& b) {
  std::vector<UidRange> out;
  auto x = a.ranges().begin();
  auto y = b.ranges().begin();
  while (x != a.ranges().end() && y != b.ranges().end()) {
    const auto first = std::max(x->first, y->first);
    const auto last = std::min(x->last, y->last);
    if (first <= last) out.push_back({first, last});
    if (x->last < y->last)
      ++x;
    else
      ++y;
  }
  return UidSet(std::move(out));
}

UidSet difference(const UidSet& a, const UidSet& b) {
  std::vector<UidRange> out;
  auto y = b.ranges().begin();
  for (auto range : a.ranges()) {
    bool left = true;
    while (y != b.ranges().end() && y->last < range.first) ++y;
    for (auto cut = y; cut != b.ranges().end() && cut->first <= range.last; ++cut) {
      if (cut->first > range.first) out.push_back({range.first, Uid{number(cut->first) - 1}});
      if (cut->last >= range.last) {
        left = false;
        break;
      }
      range.first = Uid{number(cut->last) + 1};
    }
    if (left) out.push_back(range);
  }
  return UidSet(std::move(out));
}

UidSet sum(const UidSet& a, const UidSet& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  std::vector<UidRange> all = a.ranges();
  all.insert(all.end(), b.ranges().begin(), b.ranges().end());
  return UidSet(std::move(all));
}

UidSet above(const UidSet& set, Uid uid) {
  std::vector<UidRange> out;
  auto from = std::ranges::upper_bound(set.ranges(), uid, {}, &UidRange::last);
  for (; from != set.ranges().end(); ++from) out.push_back({std::max(from->first, Uid{number(uid) + 1}), from->last});
  return UidSet(std::move(out));
}

UidSet partial_of(const UidSet& set, std::pair<std::int64_t, std::int64_t> positions) {
  const auto count = static_cast<std::int64_t>(set.count());
  auto [first, last] = positions;
  if (first < 0) {
    first = count + 1 + first;
    last = count + 1 + last;
  }
  if (first > last) std::swap(first, last);
  first = std::max<std::int64_t>(first, 1);
  std::vector<UidRange> out;
  std::int64_t position = 1;
  for (const auto& range : set.ranges()) {
    const auto length = static_cast<std::int64_t>(number(range.last)) - number(range.first) + 1;
    const auto from = std::max(first, position);
    const auto to = std::min(last, position + length - 1);
    if (from <= to)
      out.push_back({Uid{static_cast<std::uint32_t>(number(range.first) + (from - position))},
                     Uid{static_cast<std::uint32_t>(number(range.first) + (to - position))}});
    position += length;
    if (position > last) break;
  }
  return UidSet(std::move(out));
}

UidSet first_of(const UidSet& set, std::uint64_t count) {
  if (count == 0) return {};
  return partial_of(set, {1, static_cast<std::int64_t>(count)});
}

Uid lowest(const UidSet& set) { return set.empty() ? Uid{} : set.ranges().front().first; }
Uid highest(const UidSet& set) { return set.empty() ? Uid{} : set.ranges().back().last; }

}  // namespace mail::imapd
