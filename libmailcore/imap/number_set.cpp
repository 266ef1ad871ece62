#include "imap/number_set.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::imap {

void NumberSet::add(std::uint32_t first, std::uint32_t last) {
  if (ranges_.empty() || first > ranges_.back().last) {
    if (!ranges_.empty() && first - 1 == ranges_.back().last)
      ranges_.back().last = last;
    else
      ranges_.push_back({first, last});
    return;
  }
  // The first range that is not wholly below `first` and not just touching it.
  auto from = std::lower_bound(ranges_.begin(), ranges_.end(), first, [](const Range& range, std::uint32_t number) {
    return static_cast<std::uint64_t>(range.last) + 1 < number;
  });
  auto to = from;
  while (to != ranges_.end() && to->first <= static_cast<std::uint64_t>(last) + 1) {
    first = std::min(first, to->first);
    last = std::max(last, to->last);
    ++to;
  }
  if (from == to) {
    ranges_.insert(from, {first, last});
  } else {
    *from = {first, last};
    ranges_.erase(from + 1, to);
  }
}

void NumberSet::remove(std::uint32_t number) {
  auto range = std::lower_bound(ranges_.begin(), ranges_.end(), number,
                                [](const Range& r, std::uint32_t n) { return r.last < n; });
  if (range == ranges_.end() || range->first > number) return;
  if (range->first == range->last) {
    ranges_.erase(range);
  } else if (range->first == number) {
    ++range->first;
  } else if (range->last == number) {
    --range->last;
  } else {
    const Range above{number + 1, range->last};
    range->last = number - 1;
    ranges_.insert(range + 1, above);
  }
}

bool NumberSet::contains(std::uint32_t number) const {
  const auto range = std::lower_bound(ranges_.begin(), ranges_.end(), number,
                                      [](const Range& r, std::uint32_t n) { return r.last < n; });
  return range != ranges_.end() && range->first <= number;
}

std::uint64_t NumberSet::count() const {
  std::uint64_t sum = 0;
  for (const auto& range : ranges_) sum += static_cast<std::uint64_t>(range.last) - range.first + 1;
  return sum;
}

void NumberSet::append_to(std::string& out) const {
  bool first = true;
  for (const auto& range : ranges_) {
    if (!first) out += ',';
    first = false;
    append_decimal(out, range.first);
    if (range.last != range.first) {
      out += ':';
      append_decimal(out, range.last);
    }
  }
}

std::string NumberSet::text() const {
  std::string out;
  append_to(out);
  return out;
}

namespace {
std::optional<std::uint32_t> take_number(Cursor& cursor) {
  if (cursor.take('*')) return SequenceSet::kStar;
  if (cursor.peek() == '0') return std::nullopt;  // nz-number
  return cursor.take_decimal<std::uint32_t>();
}
}  // namespace

std::optional<SequenceSet> SequenceSet::take(Cursor& cursor) {
  const auto start = cursor.offset();
  SequenceSet set;
  if (cursor.take('$')) {
    set.saved_ = true;
    return set;
  }
  do {
    const auto first = take_number(cursor);
    if (!first) return cursor.rewind(start), std::nullopt;
    auto last = first;
    if (cursor.take(':')) last = take_number(cursor);
    if (!last || set.ranges_.size() == kMostRanges) return cursor.rewind(start), std::nullopt;
    set.ranges_.push_back({*first, *last});
  } while (cursor.take(','));
  return set;
}

Result<SequenceSet> SequenceSet::parse(std::string_view text) {
  Cursor cursor(text);
  auto set = take(cursor);
  if (!set || !cursor.at_end()) return fail(Error::Kind::syntax, "Invalid sequence set");
  return std::move(*set);
}

bool SequenceSet::has_star() const {
  return std::ranges::any_of(ranges_, [](const auto& range) { return range.first == kStar || range.last == kStar; });
}

NumberSet SequenceSet::resolve(std::uint32_t highest) const {
  std::vector<NumberSet::Range> numbers;
  numbers.reserve(ranges_.size());
  for (auto [first, last] : ranges_) {
    if (first == kStar) first = highest;
    if (last == kStar) last = highest;
    if (first > last) std::swap(first, last);
    if (last == 0) continue;
    numbers.push_back({std::max(first, 1U), last});
  }
  // Sorted first: adding `1,3,5,…` in falling order would move the tail each time.
  std::ranges::sort(numbers, {}, &NumberSet::Range::first);
  NumberSet set;
  for (const auto& range : numbers) set.add(range.first, range.last);
  return set;
}

std::string SequenceSet::text() const {
  if (saved_) return "$";
  std::string out;
  const auto number = [&out](std::uint32_t value) {
    if (value == kStar)
      out += '*';
    else
      append_decimal(out, value);
  };
  for (const auto& range : ranges_) {
    if (!out.empty()) out += ',';
    number(range.first);
    if (range.last != range.first) {
      out += ':';
      number(range.last);
    }
  }
  return out;
}

}  // namespace mail::imap
