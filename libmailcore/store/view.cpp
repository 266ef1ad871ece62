#include "store/view.h"

#include <algorithm>
#include <atomic>

#include "store/account_impl.h"
#include "store/hot_keys.h"
#include "store/summary.h"
#include "store/summary_cache.h"
#include "store/summary_reader.h"

namespace mail::store {

namespace {
/// Messages whose summaries are gone through at once.
constexpr std::size_t kPiece = 1024;

std::uint64_t next_origin() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}
}  // namespace

SessionView::SessionView(std::shared_ptr<Mailbox> mailbox, std::shared_ptr<Account> account, bool read_only,
                         UidRange recent)
    : mailbox_(std::move(mailbox)),
      account_(std::move(account)),
      read_only_(read_only),
      recent_(recent),
      origin_(next_origin()),
      epoch_(0) {
  std::unique_lock lock(mailbox_->image_lock());
  const auto& image = mailbox_->image();
  epoch_ = mailbox_->epoch();
  uid_validity_ = image.uid_validity;
  mailbox_id_ = image.guid;
  visible_ = image.rows();
  hidden_ = image.tombstones();
  exists_ = image.messages();
  told_notices_ = image.notices_end();
  told_modseq_ = image.modseq_highest;
  told_keywords_ = static_cast<std::uint32_t>(image.keyword_names().size());
  mailbox_->attach(*this);
}

SessionView::~SessionView() {
  mailbox_->detach(*this);
  // The last of many views: what only it had not been told of need not be kept.
  std::unique_lock lock(mailbox_->image_lock());
  mailbox_->forget_told();
}

// hidden_ holds rows below visible_ only at sync(); later expunges are in the image's newer list.
std::uint32_t SessionView::hidden_before(RowNumber row) const {
  return static_cast<std::uint32_t>(std::lower_bound(hidden_->begin(), hidden_->end(), row) - hidden_->begin());
}

bool SessionView::hidden(RowNumber row) const { return std::binary_search(hidden_->begin(), hidden_->end(), row); }

RowNumber SessionView::row_of(SequenceNumber number) const {
  // hidden_[k] - k rows of the view are before hidden_[k]: the first k for which that exceeds our index.
  const auto index = store::number(number) - 1;
  std::size_t low = 0, high = hidden_->size();
  while (low < high) {
    const auto middle = (low + high) / 2;
    if ((*hidden_)[middle] - middle <= index)
      low = middle + 1;
    else
      high = middle;
  }
  return index + static_cast<RowNumber>(low);
}

MessageRow SessionView::message(RowNumber row) const {
  auto out = mailbox_->image().message(row);
  out.recent = out.uid >= recent_.first && out.uid < recent_.last;
  return out;
}

std::uint32_t SessionView::exists() const { return exists_; }

std::uint32_t SessionView::recent() const {
  std::uint32_t count = 0;
  if (recent_.first >= recent_.last) return 0;
  std::shared_lock lock(mailbox_->image_lock());
  for_rows(UidSet({{recent_.first, static_cast<Uid>(number(recent_.last) - 1)}}),
           [&](RowNumber, SequenceNumber) { return ++count, true; });
  return count;
}

Uid SessionView::uid_next() const {
  std::shared_lock lock(mailbox_->image_lock());
  return mailbox_->image().uid_next;
}

std::vector<std::string> SessionView::keywords() const {
  std::shared_lock lock(mailbox_->image_lock());
  return mailbox_->image().keyword_names();
}

bool SessionView::may_add_keywords() const {
  std::shared_lock lock(mailbox_->image_lock());
  return mailbox_->image().keyword_names().size() < kKeywordsMost;
}

std::optional<SequenceNumber> SessionView::first_unseen() const {
  std::shared_lock lock(mailbox_->image_lock());
  if (!valid() || mailbox_->image().unseen() == 0) return std::nullopt;
  std::optional<SequenceNumber> out;
  for_rows(UidSet({{Uid{1}, Uid{UINT32_MAX}}}), [&](RowNumber row, SequenceNumber number) {
    if (has(mailbox_->image().flags(row), Flags::seen)) return true;
    out = number;
    return false;
  });
  return out;
}

std::optional<Uid> SessionView::uid(SequenceNumber number) const {
  std::shared_lock lock(mailbox_->image_lock());
  if (!valid() || store::number(number) == 0 || store::number(number) > exists_) return std::nullopt;
  return mailbox_->image().uid(row_of(number));
}

std::optional<SequenceNumber> SessionView::sequence(Uid uid) const {
  std::shared_lock lock(mailbox_->image_lock());
  if (!valid()) return std::nullopt;
  const auto row = mailbox_->image().find(uid);
  if (!row || *row >= visible_ || hidden(*row)) return std::nullopt;
  return static_cast<SequenceNumber>(*row + 1 - hidden_before(*row));
}

Uid SessionView::last_uid() const {
  std::shared_lock lock(mailbox_->image_lock());
  if (!valid() || exists_ == 0) return Uid{0};
  return mailbox_->image().uid(row_of(static_cast<SequenceNumber>(exists_)));
}

UidSet SessionView::uids_of(SequenceNumber first, SequenceNumber last) const {
  UidSet out;
  if (first > last) std::swap(first, last);
  std::shared_lock lock(mailbox_->image_lock());
  if (!valid() || exists_ == 0 || number(first) > exists_ || number(last) == 0) return out;
  const auto& image = mailbox_->image();
  const auto from = row_of(static_cast<SequenceNumber>(std::max(1U, number(first))));
  const auto to = row_of(static_cast<SequenceNumber>(std::min(exists_, number(last))));
  for (auto row = from; row <= to; ++row)
    if (!hidden(row)) out.add(image.uid(row));
  return out;
}

UidSet SessionView::existing(const UidSet& uids) const {
  UidSet out;
  std::shared_lock lock(mailbox_->image_lock());
  for_rows(uids, [&](RowNumber row, SequenceNumber) { return out.add(mailbox_->image().uid(row)), true; });
  return out;
}

QuotaUsage SessionView::usage(const UidSet& uids) const {
  QuotaUsage out;
  std::shared_lock lock(mailbox_->image_lock());
  for_rows(uids, [&](RowNumber row, SequenceNumber) {
    if (mailbox_->image().tombstone(row)) return true;
    out.octets += mailbox_->image().file_octets(row);
    ++out.messages;
    return true;
  });
  return out;
}

void SessionView::rows(const UidSet& uids,
                       const std::function<bool(SequenceNumber, const MessageRow&)>& function) const {
  std::shared_lock lock(mailbox_->image_lock());
  for_rows(uids, [&](RowNumber row, SequenceNumber number) { return function(number, message(row)); });
}

std::optional<MessageRow> SessionView::row(Uid uid) const {
  std::optional<MessageRow> out;
  rows(UidSet::of(uid), [&](SequenceNumber, const MessageRow& found) {
    out = found;
    return false;
  });
  return out;
}

UidSet SessionView::changed_since(ModSeq since) const {
  UidSet out;
  std::shared_lock lock(mailbox_->image_lock());
  const auto& image = mailbox_->image();
  if (!valid() || since >= image.modseq_highest) return out;
  for (RowNumber row = 0; row < visible_; ++row)
    if (image.modseq(row) > since && !hidden(row)) out.add(image.uid(row));
  return out;
}

UidSet SessionView::vanished_since(ModSeq since, const UidSet& within) const {
  UidSet out;
  std::shared_lock lock(mailbox_->image_lock());
  const auto& image = mailbox_->image();
  if (!valid()) return out;
  const UidSet all = within.empty() ? UidSet({{Uid{1}, static_cast<Uid>(number(image.uid_next) - 1)}}) : within;
  const auto add_absent = [&](UidRange range) {  // of the range, what this view does not have
    range.last = std::min(range.last, static_cast<Uid>(number(image.uid_next) - 1));
    auto next = number(range.first);
    for_rows(UidSet({range}), [&](RowNumber row, SequenceNumber) {
      const auto uid = number(image.uid(row));
      if (uid > next) out.add(static_cast<Uid>(next), static_cast<Uid>(uid - 1));
      next = uid + 1;
      return true;
    });
    if (next <= number(range.last)) out.add(static_cast<Uid>(next), range.last);
  };
  if (since < image.history_from) {
    for (const auto& range : all.ranges())
      if (number(image.uid_next) > 1 && range.first < image.uid_next) add_absent(range);
    return out;
  }
  for (const auto& gone : image.expunged_history()) {
    if (gone.modseq <= since) continue;
    for (auto uid = number(gone.uids.first); uid <= number(gone.uids.last); ++uid) {
      const auto row = image.find(static_cast<Uid>(uid));
      const bool still_told =
          row && *row < visible_ && !hidden(*row);  // this view has not heard of it yet: sync() will say it
      if (!still_told && all.contains(static_cast<Uid>(uid))) out.add(static_cast<Uid>(uid));
    }
  }
  return out;
}

bool SessionView::has_sizes(const UidSet& uids) const {
  std::shared_lock lock(mailbox_->image_lock());
  const auto& image = mailbox_->image();
  if (image.sizes_known()) return true;
  bool all = true;
  for_rows(uids, [&](RowNumber row, SequenceNumber) {
    return all = image.wire_octets(row) != 0 || image.file_octets(row) == 0 || image.tombstone(row);
  });
  return all;
}

Status SessionView::complete_sizes(const UidSet& uids) { return mailbox_->complete(uids, true); }

Result<std::shared_ptr<MessageFile>> SessionView::open_message(Uid uid) { return mailbox_->open_message(uid); }

std::shared_ptr<MessageFile> SessionView::cached_message(Uid uid, std::size_t most) {
  return mailbox_->cached_message(uid, most);
}

bool SessionView::has_summaries(const UidSet& uids) const {
  std::shared_lock lock(mailbox_->image_lock());
  const auto& image = mailbox_->image();
  bool all = true;
  for_rows(uids, [&](RowNumber row, SequenceNumber) {
    return all = image.tombstone(row) || mailbox_->summaries().plausible(image.summary(row));
  });
  return all;
}

Status SessionView::complete_summaries(const UidSet& uids) { return mailbox_->complete(uids, false); }

/// In pieces: the image lock is not held while the cache is read or the caller works.
/// @param read  gives the summary of an item, or nothing
template <class Read>
void SessionView::each_summary(
    const UidSet& uids, Read&& read,
    const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const {
  struct Item {
    SequenceNumber number;
    MessageRow row;
    SummaryRef ref;
  };
  std::vector<Item> items;
  std::uint64_t from = 1;
  for (;;) {
    items.clear();
    {
      std::shared_lock lock(mailbox_->image_lock());
      UidSet rest;
      for (const auto& range : uids.ranges())
        if (number(range.last) >= from) rest.add(std::max(range.first, static_cast<Uid>(from)), range.last);
      for_rows(rest, [&](RowNumber row, SequenceNumber number) {
        items.push_back({number, message(row), mailbox_->image().summary(row)});
        return items.size() < kPiece;
      });
    }
    for (auto& item : items) {
      std::string made;
      auto summary = read(item.row.uid, item.ref);
      if (!summary) {  // damaged: made anew here, exact all the same
        made = mailbox_->summary_of(item.row.uid, SummaryDepth::whole);
        summary = parse_summary(made);
        if (!summary) continue;
      }
      if (summary->octets != 0) item.row.octets = summary->octets;
      if (summary->sent_date == INT64_MIN) summary->sent_date = item.row.internal_date;
      if (!function(item.number, item.row, *summary)) return;
    }
    if (items.size() < kPiece) return;
    from = std::uint64_t{number(items.back().row.uid)} + 1;
    if (from > UINT32_MAX) return;
  }
}

void SessionView::summaries(
    const UidSet& uids, const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const {
  const SummaryCache::Reading reading(mailbox_->summaries());
  each_summary(
      uids, [&](Uid, SummaryRef ref) { return reading.summary(ref); }, function);
}

std::unique_ptr<SummaryReading> SessionView::read_summaries(const UidSet& uids, SummaryDepth depth) const {
  // Where no thread makes the index, whoever reads does.
  if (depth == SummaryDepth::search_keys && !mailbox_->indexes_ahead()) depth = SummaryDepth::whole;
  return std::make_unique<SummaryReader>(*this, mailbox_, uids, depth);
}

void SessionView::keys(const UidSet& uids,
                       const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const {
  auto& hot = mailbox_->hot_keys();
  std::lock_guard lock(hot.mutex());
  hot.use_epoch(epoch_);
  const SummaryCache::Reading reading(mailbox_->summaries());
  each_summary(
      uids,
      [&](Uid uid, SummaryRef ref) {
        auto found = hot.find(uid);
        if (found) return found;
        found = reading.summary(ref);
        if (found) hot.add(uid, *found);
        return found;
      },
      function);
}

Result<FlagOutcome> SessionView::store_flags(const FlagChange& change) {
  if (read_only_) return fail(Error::Kind::refused, "the mailbox is open read-only");
  auto mine = change;
  mine.uids = existing(change.uids);
  return mailbox_->store_flags(mine, origin_);
}

Result<UidSet> SessionView::expunge(const UidSet* uids) {
  if (read_only_) return fail(Error::Kind::refused, "the mailbox is open read-only");
  return mailbox_->expunge(uids, origin_);
}

Changes SessionView::sync(bool expunges_allowed) {
  Changes out;
  std::unique_lock lock(mailbox_->image_lock());
  const auto& image = mailbox_->image();
  if (!valid()) {
    out.invalid = true;
    return out;
  }
  bool all_told = true;
  if (hidden_ != image.tombstones()) {
    const auto& now = *image.tombstones();
    if (expunges_allowed) {
      std::uint32_t gone = 0;
      for (const auto row : now) {
        if (row >= visible_ || hidden(row)) continue;
        out.expunged.push_back(static_cast<SequenceNumber>(row + 1 - hidden_before(row) - gone));
        out.expunged_uids.push_back(image.uid(row));
        ++gone;
      }
      hidden_ = image.tombstones();
      exists_ -= gone;
    } else {
      all_told = hidden_->size() == now.size();
    }
  }
  if (image.rows() > visible_) {
    if (all_told) {
      const auto before = exists_;
      visible_ = image.rows();
      exists_ = visible_ - static_cast<std::uint32_t>(hidden_->size());
      out.exists_changed = exists_ != before;
    } else {
      // Rows that came and went while expunges were not allowed must not get numbers: new rows show at the next sync
      // that may tell of expunges, unless none of them is gone.
      const auto& now = *image.tombstones();
      const bool any_gone = !now.empty() && now.back() >= visible_;
      if (!any_gone) {
        exists_ += image.rows() - visible_;
        visible_ = image.rows();
        out.exists_changed = true;
      }
    }
  }
  if (!read_only_ && out.exists_changed && recent_.last < image.uid_next) {
    // Whoever is told first has the new ones as \Recent; it is not worth a write of its own: the next SELECT claims
    // them for good.
    recent_.last = image.uid_next;
    if (mailbox_->image().first_recent < image.uid_next) mailbox_->image_for_views().first_recent = image.uid_next;
  }
  for (auto at = std::max(told_notices_, image.notices_first()); at < image.notices_end(); ++at) {
    const auto& notice = image.notices()[at - image.notices_first()];
    if (notice.origin == origin_) continue;
    for_rows(notice.uids, [&](RowNumber row, SequenceNumber) {
      if (!image.tombstone(row)) out.flags.push_back(image.uid(row));
      return true;
    });
  }
  if (!std::is_sorted(out.flags.begin(), out.flags.end())) std::sort(out.flags.begin(), out.flags.end());
  out.flags.erase(std::unique(out.flags.begin(), out.flags.end()), out.flags.end());
  told_notices_ = image.notices_end();
  out.keywords_changed = told_keywords_ != image.keyword_names().size();
  told_keywords_ = static_cast<std::uint32_t>(image.keyword_names().size());
  out.exists = exists_;
  if (visible_ == image.rows() && all_told) told_modseq_ = image.modseq_highest;
  // A pass over all views: not for each of a thousand sessions that hear of one new message.
  if (image.notices().size() > 16 || !image.tombstones()->empty()) mailbox_->forget_told();
  lock.unlock();
  if (out.exists_changed) out.recent = recent();
  return out;
}

void SessionView::before_compact(const Image&) {}

void SessionView::after_compact(const Image& image) {
  // Every view knew of all tombstones; its rows move down by those below its end.
  visible_ -= hidden_before(visible_);
  hidden_ = image.tombstones();
}

Result<CopyOutcome> SessionView::transfer(const UidSet& uids, const Destination& to, bool move) {
  const bool elsewhere = to.account && to.account != account_;
  auto* account = dynamic_cast<AccountImpl*>(elsewhere ? to.account.get() : account_.get());
  MAIL_TRY(target, account->mailbox(to.mailbox));
  if (move && read_only_) return fail(Error::Kind::refused, "the mailbox is open read-only");
  const auto mine = existing(uids);
  if (!move || elsewhere) {
    const auto more = usage(mine);
    MAIL_CHECK(account->check_quota(more.octets, more.messages));
  }
  const Mailbox::Carrying how{elsewhere, to.flags, to.keywords};
  if (move && target == mailbox_) return mailbox_->transfer_within(mine, how);
  return mailbox_->transfer(mine, *target, move, how);
}

Result<CopyOutcome> SessionView::copy(const UidSet& uids, const Destination& to) { return transfer(uids, to, false); }
Result<CopyOutcome> SessionView::move(const UidSet& uids, const Destination& to) { return transfer(uids, to, true); }

}  // namespace mail::store
