#include "imapd/columns.h"

#include <algorithm>
#include <numeric>

#include "base/contains.h"
#include "base/strings.h"
#include "imapd/search_evaluator.h"
#include "imapd/uid_sets.h"

namespace mail::imapd {

using store::Uid;
using store::UidSet;

std::size_t Columns::messages() const {
  const std::shared_lock lock(mutex_);
  return uids_.size();
}

void Columns::fill(const store::View& view, const UidSet& uids, store::SummaryDepth depth) {
  view.read_summaries(uids, depth)->next([&](auto, const store::MessageRow& row, const store::Summary& summary) {
    uids_.push_back(row.uid);
    sent_.push_back(summary.sent_date);
    is_reply_.push_back(summary.is_reply_or_forward);
    const std::array<std::string_view, kTexts> texts{
        summary.search_from,
        summary.search_to,
        summary.search_cc,
        summary.search_bcc,
        summary.search_subject,
        summary.base_subject,
        summary.sort_from,
        summary.sort_to,
        summary.sort_cc,
        summary.display_from,
        summary.display_to,
        summary.message_id,
        summary.references.empty() ? summary.in_reply_to : summary.references};
    for (std::size_t i = 0; i < kTexts; ++i) texts_[i].add(texts[i]);
    return true;
  });
}

bool Columns::holds(const UidSet& uids) const {
  std::uint64_t count = 0;
  auto from = uids_.begin();
  for (const auto& range : uids.ranges()) {
    from = std::lower_bound(from, uids_.end(), range.first);
    const auto to = std::upper_bound(from, uids_.end(), range.last);
    count += static_cast<std::uint64_t>(to - from);
    from = to;
  }
  return count == uids.count();
}

void Columns::append(const Columns& more) {
  uids_.insert(uids_.end(), more.uids_.begin(), more.uids_.end());
  sent_.insert(sent_.end(), more.sent_.begin(), more.sent_.end());
  is_reply_.insert(is_reply_.end(), more.is_reply_.begin(), more.is_reply_.end());
  for (std::size_t i = 0; i < kTexts; ++i) texts_[i].append(more.texts_[i]);
  orders_ = {};
  threaded_ = {};
}

namespace {

UidSet not_held(const store::View& view, Uid last) { return above(everything(view), last); }

}  // namespace

bool Columns::cover(const store::View& view, const UidSet& uids) {
  for (;;) {
    Uid known{};
    UidSet fresh;
    {
      const std::shared_lock lock(mutex_);
      if (holds(uids)) return true;
      known = last();
      fresh = not_held(view, known);
      if (uids_.size() + fresh.count() > kMostMessages) return false;
    }
    Columns more;  // others go on with what is here
    more.fill(view, fresh, store::SummaryDepth::search_keys);
    const std::unique_lock lock(mutex_);
    if (last() != known) continue;  // another session was quicker
    append(more);
    return holds(uids);
  }
}

bool Columns::ready(const store::View& view, const UidSet& uids) const {
  Uid known{};
  {
    const std::shared_lock lock(mutex_);
    if (holds(uids)) return true;
    known = last();
  }
  return view.has_summaries(not_held(view, known));
}

/// function(index) for the messages of `uids`, ascending. Under the lock.
template <class Function>
void Columns::for_indices(const UidSet& uids, Function function) const {
  auto from = uids_.begin();
  for (const auto& range : uids.ranges()) {
    from = std::lower_bound(from, uids_.end(), range.first);
    for (; from != uids_.end() && *from <= range.last; ++from) function(static_cast<std::size_t>(from - uids_.begin()));
  }
}

UidSet Columns::containing(Text column, std::string_view needle, const UidSet& within) const {
  const std::shared_lock lock(mutex_);
  const auto& texts = texts_[static_cast<std::size_t>(column)];
  UidSet found;
  for_indices(within, [&](std::size_t index) {
    if (contains(texts[index], needle)) found.add(uids_[index]);
  });
  return found;
}

namespace {

using By = imap::SortKey::By;

std::optional<Columns::Text> text_of(By by) {
  switch (by) {
    case By::cc:
      return Columns::Text::sort_cc;
    case By::from:
      return Columns::Text::sort_from;
    case By::to:
      return Columns::Text::sort_to;
    case By::subject:
      return Columns::Text::base_subject;
    case By::display_from:
      return Columns::Text::display_from;
    case By::display_to:
      return Columns::Text::display_to;
    default:
      return std::nullopt;
  }
}

}  // namespace

/// Once sorted, a column stays so until mail comes in: later SORTs only walk along it.
const Columns::Order& Columns::order_of(By by) {
  const std::lock_guard lock(derived_mutex_);
  auto& cached = orders_[static_cast<std::size_t>(by)];
  if (cached) return *cached;
  auto order = std::make_shared<Order>();
  order->indices.resize(uids_.size());
  order->ranks.resize(uids_.size());
  std::iota(order->indices.begin(), order->indices.end(), 0U);
  const auto text = text_of(by);
  const auto* texts = text ? &texts_[static_cast<std::size_t>(*text)] : nullptr;
  const auto compare = [&](std::uint32_t a, std::uint32_t b) {
    return texts != nullptr ? (*texts)[a].compare((*texts)[b]) : sent_[a] < sent_[b] ? -1 : sent_[a] > sent_[b] ? 1 : 0;
  };
  std::ranges::sort(order->indices, [&](std::uint32_t a, std::uint32_t b) {
    const int difference = compare(a, b);
    return difference != 0 ? difference < 0 : a < b;
  });
  for (std::size_t i = 1; i < order->indices.size(); ++i)
    order->ranks[order->indices[i]] =
        order->ranks[order->indices[i - 1]] + (compare(order->indices[i - 1], order->indices[i]) != 0 ? 1 : 0);
  cached = std::move(order);
  return *cached;
}

bool sorts_by_size(const std::vector<imap::SortKey>& keys) {
  return std::ranges::any_of(keys, [](const imap::SortKey& key) { return key.by == By::size; });
}

std::vector<std::uint32_t> Columns::sorted(const std::vector<imap::SortKey>& keys, const store::View& view,
                                           const UidSet& uids, bool as_uids) {
  const std::shared_lock lock(mutex_);
  struct Row {
    std::uint32_t number = 0;
    std::int64_t arrival = 0;
    std::uint64_t octets = 0;
  };
  std::vector<Row> rows(uids_.size());
  std::vector<std::uint32_t> members;
  auto from = uids_.begin();
  view.rows(uids, [&](store::SequenceNumber number, const store::MessageRow& row) {
    from = std::lower_bound(from, uids_.end(), row.uid);
    if (from == uids_.end() || *from != row.uid) return true;
    const auto index = static_cast<std::uint32_t>(from - uids_.begin());
    rows[index] = {as_uids ? store::number(row.uid) : store::number(number), row.internal_date, row.octets};
    members.push_back(index);
    return true;
  });
  std::vector<std::uint32_t> result;
  result.reserve(members.size());
  const auto in_column = [](By by) { return text_of(by).has_value() || by == By::date; };
  if (keys.size() == 1 && in_column(keys[0].by) && members.size() * 8 > uids_.size()) {
    const auto& order = order_of(keys[0].by);
    const auto add = [&](std::uint32_t index) {
      if (rows[index].number != 0) result.push_back(rows[index].number);
    };
    if (!keys[0].reverse) {
      for (const auto index : order.indices) add(index);
      return result;
    }
    // Groups of equals from the last to the first, each in the order of the mailbox.
    for (auto end = order.indices.end(); end != order.indices.begin();) {
      auto begin = end - 1;
      while (begin != order.indices.begin() && order.ranks[*(begin - 1)] == order.ranks[*begin]) --begin;
      for (auto at = begin; at != end; ++at) add(*at);
      end = begin;
    }
    return result;
  }
  std::vector<const Order*> orders;
  for (const auto& key : keys) orders.push_back(in_column(key.by) ? &order_of(key.by) : nullptr);
  std::ranges::stable_sort(members, [&](std::uint32_t a, std::uint32_t b) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const auto value = [&](std::uint32_t index) -> std::int64_t {
        if (orders[i] != nullptr) return orders[i]->ranks[index];
        if (keys[i].by == By::arrival) return rows[index].arrival;
        return keys[i].by == By::size ? static_cast<std::int64_t>(rows[index].octets) : 0;
      };
      const auto left = value(a);
      const auto right = value(b);
      if (left != right) return keys[i].reverse ? left > right : left < right;
    }
    return false;
  });
  for (const auto index : members) result.push_back(rows[index].number);
  return result;
}

std::shared_ptr<const Columns::Threaded> Columns::thread(std::string_view algorithm, const UidSet& uids) {
  const std::size_t place = algorithm == "REFERENCES" ? 0 : algorithm == "REFS" ? 1 : 2;
  {
    const std::lock_guard lock(derived_mutex_);
    if (threaded_[place] && threaded_[place]->uids == uids) return threaded_[place];
  }
  std::vector<message::ThreadInput> inputs;
  for_indices(uids, [&](std::size_t index) {
    message::ThreadInput input;
    input.key = store::number(uids_[index]);
    input.sent = std::chrono::sys_seconds(std::chrono::seconds(sent_[index]));
    if (algorithm != "ORDEREDSUBJECT") {
      input.message_id = texts_[static_cast<std::size_t>(Text::message_id)][index];
      for (const auto id : split_words(texts_[static_cast<std::size_t>(Text::references)][index]))
        input.references.emplace_back(id);
    }
    if (algorithm != "REFS") {
      input.subject.text = texts_[static_cast<std::size_t>(Text::base_subject)][index];
      input.subject.is_reply_or_forward = is_reply_[index];
    }
    inputs.push_back(std::move(input));
  });
  auto threaded = std::make_shared<Threaded>();
  threaded->algorithm = algorithm;
  threaded->uids = uids;
  threaded->threads = algorithm == "ORDEREDSUBJECT"
                          ? message::thread_by_subject(std::move(inputs))
                          : message::thread_by_references(std::move(inputs), algorithm == "REFERENCES");
  threaded->as_uids = message::to_imap(threaded->threads);
  const std::lock_guard lock(derived_mutex_);
  threaded_[place] = threaded;
  return threaded;
}

namespace {

/// As to_imap(), with each UID's sequence number.
void renumber(std::vector<message::ThreadNode>& nodes,
              const std::unordered_map<std::uint32_t, std::uint32_t>& numbers) {
  std::vector<std::vector<message::ThreadNode>*> open{&nodes};
  while (!open.empty()) {
    auto* level = open.back();
    open.pop_back();
    for (auto& node : *level) {
      if (const auto found = numbers.find(node.key); found != numbers.end()) node.key = found->second;
      if (!node.children.empty()) open.push_back(&node.children);
    }
  }
}

}  // namespace

std::string Columns::threads(std::string_view algorithm, const store::View& view, const UidSet& uids, bool as_uids) {
  const std::shared_lock lock(mutex_);
  const auto threaded = thread(algorithm, uids);
  if (as_uids) return threaded->as_uids;
  std::unordered_map<std::uint32_t, std::uint32_t> numbers;
  bool same = true;
  view.rows(uids, [&](store::SequenceNumber number, const store::MessageRow& row) {
    same = same && store::number(number) == store::number(row.uid);
    numbers.emplace(store::number(row.uid), store::number(number));
    return true;
  });
  if (same) return threaded->as_uids;
  auto threads = threaded->threads;
  renumber(threads, numbers);
  return message::to_imap(threads);
}

std::shared_ptr<Columns> ColumnsCache::of(store::View& view, const UidSet& uids) {
  auto columns = shared(view);
  if (columns && columns->cover(view, uids)) return columns;
  // Too many to keep, or a session that still sees what others know to be gone: made for this one question.
  columns = std::make_shared<Columns>();
  columns->fill(view, uids, store::SummaryDepth::whole);
  return columns;
}

bool ColumnsCache::ready(store::View& view, const UidSet& uids) {
  const auto columns = shared(view);
  return columns ? columns->ready(view, uids) : view.has_summaries(uids);
}

std::shared_ptr<Columns> ColumnsCache::shared(store::View& view) {
  if (view.exists() == 0 || view.exists() > Columns::kMostMessages) return nullptr;
  std::string key = view.account().location().maildir;
  key += '\0';
  key += view.mailbox_id();
  key += '\0';
  append_decimal(key, store::number(view.uid_validity()));
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return recent_.front().columns;
  }
  std::size_t messages = view.exists();
  for (const auto& entry : recent_) messages += entry.columns->messages();
  while (messages > kMostMessages && !recent_.empty()) {
    messages -= std::min(messages, recent_.back().columns->messages());
    by_key_.erase(recent_.back().key);
    recent_.pop_back();
  }
  recent_.push_front({std::move(key), std::make_shared<Columns>()});
  by_key_.emplace(recent_.front().key, recent_.begin());
  return recent_.front().columns;
}

}  // namespace mail::imapd
