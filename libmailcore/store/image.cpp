#include "store/image.h"

#include <algorithm>
#include <numeric>

#include "base/overloaded.h"
#include "base/strings.h"
#include "store/file_name.h"

namespace mail::store {

namespace {

std::uint32_t clamp32(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, UINT32_MAX));
}

/// More ranges of expunged UIDs are not remembered: QRESYNC then gets all absent ones, which is allowed.
constexpr std::size_t kHistoryMost = 50000;

}  // namespace

RowNumber Image::lower_bound(Uid uid) const {
  return static_cast<RowNumber>(std::lower_bound(uid_.begin(), uid_.end(), uid) - uid_.begin());
}

std::optional<RowNumber> Image::find(Uid uid) const {
  const auto row = lower_bound(uid);
  if (row < rows() && uid_[row] == uid) return row;
  return std::nullopt;
}

std::string Image::base(RowNumber row) const {
  std::string out(names_, name_at_[row], name_octets_[row]);
  if ((state_[row] & kSizesInName) != 0) append_sizes(out, file_octets_[row], wire_octets_[row]);
  return out;
}

bool Image::has_base(RowNumber row, std::string_view wanted) const {
  const std::string_view name(names_.data() + name_at_[row], name_octets_[row]);
  if (!wanted.starts_with(name)) return false;
  if (wanted.size() == name.size()) return (state_[row] & kSizesInName) == 0;
  return (state_[row] & kSizesInName) != 0 && base(row) == wanted;
}

DiskFlags Image::disk_flags(RowNumber row) const {
  if ((state_[row] & kDirty) != 0) {
    const auto found = disk_flags_.find(uid_[row]);
    if (found != disk_flags_.end()) return found->second;
  }
  return {flags_[row], keywords(row) & kLetterBits};
}

std::string Image::file_name(RowNumber row) const {
  if ((state_[row] & kOdd) != 0) {
    const auto found = odd_names_.find(uid_[row]);
    if (found != odd_names_.end()) return found->second;
  }
  auto out = base(row);
  if (in_new(row)) return out;
  const auto on_disk = disk_flags(row);
  append_info(out, on_disk.flags, on_disk.keywords);
  return out;
}

std::string Image::wanted_name(RowNumber row) const {
  auto out = base(row);
  append_info(out, flags_[row], keywords(row));
  return out;
}

MessageRow Image::message(RowNumber row) const {
  MessageRow out;
  out.uid = uid_[row];
  out.modseq = modseq_[row];
  out.flags = flags_[row];
  out.keywords = keywords(row);
  if ((out.keywords & forwarded_) != 0) {
    out.flags = out.flags | Flags::forwarded;
    out.keywords &= ~forwarded_;
  }
  out.internal_date = internal_date_[row];
  out.save_date = save_date_[row];
  out.octets = wire_octets_[row];
  return out;
}

std::optional<std::uint8_t> Image::keyword_bit(std::string_view name) const {
  for (std::size_t i = 0; i < keyword_names_.size(); ++i)
    if (iequals(keyword_names_[i], name)) return static_cast<std::uint8_t>(i);
  return std::nullopt;
}

void Image::note_keywords() {
  const auto bit = keyword_bit(kForwardedKeyword);
  forwarded_ = bit ? KeywordBits{1} << *bit : 0;
}

void Image::account(RowNumber row, int sign) {
  const auto by = static_cast<std::uint32_t>(sign);
  if (!has(flags_[row], Flags::seen)) unseen_ += by;
  if (has(flags_[row], Flags::deleted)) deleted_ += by;
  if (wire_octets_[row] == 0) unknown_sizes_ += by;
  octets_ += static_cast<std::uint64_t>(std::int64_t{sign} * std::int64_t{file_octets_[row]});
}

void Image::set_keywords(RowNumber row, KeywordBits keywords) {
  if (keywords_.empty() && keywords == 0) return;
  if (keywords_.empty()) keywords_.resize(uid_.size());
  keywords_[row] = keywords;
}

void Image::add(const AddedRow& row, ModSeq modseq) {
  if (!uid_.empty() && row.uid <= uid_.back()) return;  // replayed, or damage: UIDs only ascend
  if (row.base.empty() || row.base.size() > 255) return;
  const auto name = without_sizes(row.base, clamp32(row.file_octets), clamp32(row.wire_octets));
  std::uint8_t state = 0;
  if (row.in_new) state |= kInNew;
  if (name.size() != row.base.size()) state |= kSizesInName;
  if (!row.odd_name.empty()) {
    state |= kOdd;
    odd_names_[row.uid] = row.odd_name;
  }
  uid_.push_back(row.uid);
  flags_.push_back(row.flags);
  state_.push_back(state);
  modseq_.push_back(modseq);
  if (!keywords_.empty()) keywords_.push_back(0);
  set_keywords(rows() - 1, row.keywords);
  internal_date_.push_back(row.internal_date);
  save_date_.push_back(clamp32(static_cast<std::uint64_t>(std::max<std::int64_t>(row.save_date, 0))));
  file_octets_.push_back(clamp32(row.file_octets));
  wire_octets_.push_back(clamp32(row.wire_octets));
  summary_.push_back(row.summary);
  if (row.filter != 0 && filter_.empty()) filter_.resize(uid_.size() - 1);
  if (!filter_.empty() || row.filter != 0) filter_.push_back(row.filter);
  name_at_.push_back(static_cast<std::uint32_t>(names_.size()));
  name_octets_.push_back(static_cast<std::uint8_t>(name.size()));
  names_ += name;
  const auto at = rows() - 1;
  if (row.in_new) dirty_rows_.push_back(at);
  account(at, 1);
  if (row.uid >= uid_next) uid_next = static_cast<Uid>(number(row.uid) + 1);
}

template <class Function>
void Image::for_rows(const UidSet& uids, Function&& function) {
  for (const auto& range : uids.ranges())
    for (auto row = lower_bound(range.first); row < rows() && uid_[row] <= range.last; ++row)
      if (!tombstone(row)) function(row);
}

void Image::mark_dirty(RowNumber row, DiskFlags before) {
  if ((state_[row] & kDirty) == 0) {
    state_[row] |= kDirty;
    disk_flags_.emplace_hint(disk_flags_.end(), uid_[row], before);
    dirty_rows_.push_back(row);
  }
}

void Image::change(const record::FlagsChanged& r, std::uint64_t origin) {
  FlagNotice notice{r.modseq, origin, {}};
  for_rows(r.uids, [&](RowNumber row) {
    Flags flags = r.flags;
    KeywordBits keywords = r.keywords;
    if (r.how == FlagChange::How::add) flags = flags_[row] | flags, keywords |= this->keywords(row);
    if (r.how == FlagChange::How::remove) flags = flags_[row] & ~flags, keywords = this->keywords(row) & ~keywords;
    if (r.how == FlagChange::How::replace && r.on_disk)
      keywords |= this->keywords(row) & ~kLetterBits;  // names cannot say those
    if (r.on_disk) {                                   // the name has them already: nothing to write
      disk_flags_.erase(uid_[row]);
      odd_names_.erase(uid_[row]);
      state_[row] &= static_cast<std::uint8_t>(~(kDirty | kOdd));
    }
    if (flags == flags_[row] && keywords == this->keywords(row)) return;
    if (!r.on_disk) mark_dirty(row, disk_flags(row));
    account(row, -1);
    flags_[row] = flags;
    set_keywords(row, keywords);
    account(row, 1);
    modseq_[row] = r.modseq;
    notice.uids.add(uid_[row]);
  });
  if (!notice.uids.empty()) notices_.push_back(std::move(notice));
}

void Image::expunge(const record::Expunged& r) {
  std::vector<RowNumber> gone;
  for_rows(r.uids, [&](RowNumber row) {
    if (r.unlink) graves_.push_back({in_new(row), file_name(row)});
    account(row, -1);
    disk_flags_.erase(uid_[row]);
    odd_names_.erase(uid_[row]);
    state_[row] = static_cast<std::uint8_t>((state_[row] & kSizesInName) | kTombstone);
    gone.push_back(row);
    if (!history_.empty() && history_.back().modseq == r.modseq &&
        number(history_.back().uids.last) + 1 == number(uid_[row]))
      history_.back().uids.last = uid_[row];
    else
      history_.push_back({r.modseq, {uid_[row], uid_[row]}});
  });
  if (gone.empty()) return;
  if (history_.size() > kHistoryMost) {
    const auto drop = history_.size() - kHistoryMost / 2;
    history_from = history_[drop - 1].modseq;
    history_.erase(history_.begin(), history_.begin() + static_cast<std::ptrdiff_t>(drop));
  }
  std::vector<RowNumber> all(tombstones_->size() + gone.size());
  std::merge(tombstones_->begin(), tombstones_->end(), gone.begin(), gone.end(), all.begin());
  tombstones_ = std::make_shared<const std::vector<RowNumber>>(std::move(all));
}

void Image::apply(const Record& record, std::uint64_t origin) {
  const auto raise = [&](ModSeq modseq) { modseq_highest = std::max(modseq_highest, modseq); };
  std::visit(overloaded{
                 [&](const record::Added& r) {
                   for (const auto& row : r.rows) add(row, r.modseq);
                   raise(r.modseq);
                 },
                 [&](const record::FlagsChanged& r) {
                   change(r, origin);
                   raise(r.modseq);
                 },
                 [&](const record::Expunged& r) {
                   expunge(r);
                   raise(r.modseq);
                 },
                 [&](const record::Keyword& r) {
                   if (keyword_names_.size() <= r.bit) keyword_names_.resize(r.bit + std::size_t{1});
                   keyword_names_[r.bit] = r.name;
                   note_keywords();
                 },
                 [&](const record::Written& r) {
                   for_rows(r.uids, [&](RowNumber row) {
                     if ((state_[row] & kDirty) != 0) disk_flags_.erase(uid_[row]);
                     if ((state_[row] & kOdd) != 0) odd_names_.erase(uid_[row]);
                     state_[row] &= static_cast<std::uint8_t>(~(kDirty | kInNew | kOdd));
                   });
                   std::erase_if(dirty_rows_, [&](RowNumber row) { return !dirty(row); });
                 },
                 [&](const record::Known& r) {
                   for (const auto& known : r.rows) {
                     const auto row = find(known.uid);
                     if (!row || tombstone(*row)) continue;
                     auto name = base(*row);
                     account(*row, -1);
                     if (known.file_octets != 0) file_octets_[*row] = clamp32(known.file_octets);
                     if (known.wire_octets != 0) wire_octets_[*row] = clamp32(known.wire_octets);
                     if (known.summary != 0) summary_[*row] = known.summary;
                     account(*row, 1);
                     if ((state_[*row] & kSizesInName) != 0 && base(*row) != name) {  // the name stays what it is
                       state_[*row] &= static_cast<std::uint8_t>(~kSizesInName);
                       name_at_[*row] = static_cast<std::uint32_t>(names_.size());
                       name_octets_[*row] = static_cast<std::uint8_t>(name.size());
                       names_ += name;
                     }
                   }
                 },
                 [&](const record::Buried& r) {
                   for (auto n = std::min<std::size_t>(r.count, graves_.size()); n > 0; --n) graves_.pop_front();
                 },
                 [&](const record::Numbers& r) {
                   uid_next = std::max(uid_next, r.uid_next);
                   first_recent = std::max(first_recent, r.first_recent);
                 },
                 [&](const record::Stamped& r) { stamp = r.stamp; },
                 [&](const record::Filters& r) {
                   if (filter_.empty()) filter_.resize(uid_.size());
                   for (const auto& known : r.rows)
                     if (const auto row = find(known.uid)) filter_[*row] = known.filter;
                 },
                 [&](const record::Durable& r) { durable = std::max(durable, r.uid); },
                 [&](const record::Odd& r) {
                   const auto row = find(r.uid);
                   if (!row || tombstone(*row) || r.name.empty() || r.name.size() > 255) return;
                   state_[*row] |= kOdd;
                   odd_names_[r.uid] = r.name;
                 },
             },
             record);
}

void Image::forget_notices(std::uint64_t before) {
  while (!notices_.empty() && notices_first_ < before) {
    notices_.pop_front();
    ++notices_first_;
  }
}

/// Appends a row of another image as it is there, but for what only that image's maps know.
void Image::copy_row(const Image& from, RowNumber row) {
  uid_.push_back(from.uid_[row]);
  flags_.push_back(from.flags_[row]);
  state_.push_back(from.state_[row]);
  modseq_.push_back(from.modseq_[row]);
  if (!keywords_.empty()) keywords_.push_back(0);
  set_keywords(rows() - 1, from.keywords(row));
  internal_date_.push_back(from.internal_date_[row]);
  save_date_.push_back(from.save_date_[row]);
  file_octets_.push_back(from.file_octets_[row]);
  wire_octets_.push_back(from.wire_octets_[row]);
  summary_.push_back(from.summary_[row]);
  if (from.filter(row) != 0 && filter_.empty()) filter_.resize(uid_.size() - 1);
  if (!filter_.empty() || from.filter(row) != 0) filter_.push_back(from.filter(row));
  const auto name = from.stem(row);
  name_at_.push_back(static_cast<std::uint32_t>(names_.size()));
  name_octets_.push_back(static_cast<std::uint8_t>(name.size()));
  names_ += name;
}

bool Image::go_on_as(Image& now) {
  if (now.modseq_highest < modseq_highest || now.uid_next < uid_next) return false;
  Image out;
  std::vector<RowNumber> gone;
  FlagNotice notice{now.modseq_highest, 0, {}};
  RowNumber at = 0;
  for (RowNumber row = 0; row < rows(); ++row) {
    for (; at < now.rows() && now.uid_[at] < uid_[row]; ++at)
      if (!now.tombstone(at)) return false;  // UIDs only ascend
    const bool there = at < now.rows() && now.uid_[at] == uid_[row] && !now.tombstone(at);
    if (there && tombstone(row)) return false;
    if (there) {
      out.copy_row(now, at);
      if (now.modseq_[at] != modseq_[row] || now.flags_[at] != flags_[row] || now.keywords(at) != keywords(row))
        notice.uids.add(uid_[row]);
      ++at;
    } else {
      out.copy_row(*this, row);
      out.state_[row] = static_cast<std::uint8_t>((state_[row] & kSizesInName) | kTombstone);
      gone.push_back(row);
    }
  }
  for (; at < now.rows(); ++at)
    if (!now.tombstone(at) && (uid_.empty() || now.uid_[at] > uid_.back())) out.copy_row(now, at);
  for (RowNumber row = 0; row < out.rows(); ++row) {
    if (!out.tombstone(row)) out.account(row, 1);
    if (out.dirty(row)) out.dirty_rows_.push_back(row);
  }
  out.uid_validity = now.uid_validity;
  out.guid = std::move(now.guid);
  out.uid_next = now.uid_next;
  out.first_recent = now.first_recent;
  out.durable = now.durable;
  out.modseq_highest = now.modseq_highest;
  out.history_from = now.history_from;
  out.stamp = now.stamp;
  out.disk_flags_ = std::move(now.disk_flags_);
  out.odd_names_ = std::move(now.odd_names_);
  out.graves_ = std::move(now.graves_);
  out.keyword_names_ = std::move(now.keyword_names_);
  out.note_keywords();
  out.history_ = std::move(now.history_);
  out.tombstones_ = std::make_shared<const std::vector<RowNumber>>(std::move(gone));
  out.notices_ = std::move(notices_);
  out.notices_first_ = notices_first_;
  if (!notice.uids.empty()) out.notices_.push_back(std::move(notice));
  *this = std::move(out);
  return true;
}

void Image::compact() {
  if (tombstones_->empty()) return;
  const auto first = tombstones_->front();
  std::vector<RowNumber> kept;
  kept.reserve(rows() - first - tombstones_->size());
  for (auto row = first; row < rows(); ++row)
    if (!tombstone(row)) kept.push_back(row);
  const auto keep = [&](auto& column) {
    auto to = first;
    for (const auto from : kept) column[to++] = column[from];
    column.resize(to);
  };
  keep(uid_);
  keep(flags_);
  keep(modseq_);
  if (!keywords_.empty()) keep(keywords_);
  keep(internal_date_);
  keep(save_date_);
  keep(file_octets_);
  keep(wire_octets_);
  keep(summary_);
  if (!filter_.empty()) keep(filter_);
  keep(name_at_);  // the names themselves stay where they are; dead ones go with the next snapshot
  keep(name_octets_);
  keep(state_);
  std::vector<RowNumber> still;
  for (RowNumber row = 0; row < rows(); ++row)
    if (dirty(row)) still.push_back(row);
  dirty_rows_ = std::move(still);
  tombstones_ = std::make_shared<const std::vector<RowNumber>>();
}

}  // namespace mail::store
