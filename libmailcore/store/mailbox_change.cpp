// Flags, keywords, expunges, and what is written behind.
#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"
#include "base/memory.h"
#include "base/strings.h"
#include "store/dotlock.h"
#include "store/file_name.h"
#include "store/mailbox_core.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {

bool is_keyword_name(std::string_view name) {
  if (name.empty() || name.size() > 100) return false;
  for (const char c : name)
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7F ||
        std::string_view("(){%*\"\\]").find(c) != std::string_view::npos)
      return false;
  return true;
}

/// A log shorter than this is never worth a new snapshot.
constexpr std::uint64_t kLogLeast = 256 * 1024;
/// After a snapshot as long as this, memory that is free goes back to the system.
constexpr std::uint64_t kTrimFrom = 4 << 20;

}  // namespace

Result<KeywordBits> Mailbox::keyword_bits(Writing& writing, const std::vector<std::string>& names, bool make) {
  KeywordBits bits = 0;
  std::vector<std::string> fresh;
  for (const auto& name : names) {
    if (const auto bit = image_.keyword_bit(name)) {
      bits |= KeywordBits{1} << *bit;
    } else if (make) {
      if (!is_keyword_name(name)) return fail(Error::Kind::refused, concat({"not a keyword: ", printable(name)}));
      if (std::none_of(fresh.begin(), fresh.end(), [&](const auto& other) { return iequals(other, name); }))
        fresh.push_back(name);
    }
  }
  if (fresh.empty()) return bits;
  if (image_.keyword_names().size() + fresh.size() > kKeywordsMost)
    return fail(Error::Kind::refused, "too many keywords in this mailbox");
  // Another program may have made some meanwhile: its letters stand.
  MAIL_TRY(lock, Dotlock::take(*context_->disk, place_.folder, std::string(kKeywords) + ".lock"));
  (void)lock;
  auto all = read_keywords(*context_->disk, place_.folder);
  for (std::size_t i = 0; i < image_.keyword_names().size(); ++i) {
    if (all.size() <= i) all.resize(i + 1);
    if (all[i].empty()) all[i] = image_.keyword_names()[i];
  }
  for (const auto& name : fresh) {
    if (std::any_of(all.begin(), all.end(), [&](const auto& other) { return iequals(other, name); })) continue;
    const auto gap = std::find(all.begin(), all.end(), std::string());
    if (gap != all.end())
      *gap = name;
    else
      all.push_back(name);
  }
  MAIL_CHECK(write_keywords(*context_->disk, place_.folder, all));
  Batch batch;
  for (std::size_t i = 0; i < all.size() && i < kKeywordsMost; ++i)
    if (!all[i].empty() && (i >= image_.keyword_names().size() || image_.keyword_names()[i] != all[i]))
      batch.records.push_back(record::Keyword{static_cast<std::uint8_t>(i), all[i]});
  MAIL_CHECK(applied(writing, batch));
  return keyword_bits(writing, names, false);
}

std::vector<std::string> Mailbox::stored_keywords(Flags flags, std::vector<std::string> names) const {
  const bool room = image_.keyword_names().size() + names.size() < 26;
  if (has(flags, Flags::forwarded) && (room || image_.keyword_bit(kForwardedKeyword)))
    names.emplace_back(kForwardedKeyword);
  return names;
}

Result<FlagOutcome> Mailbox::store_flags(const FlagChange& change, std::uint64_t origin) {
  FlagOutcome out;
  {
    MAIL_TRY(writing, begin());
    // Another program's changes are taken in first where the folder was touched: ours then applies to what is there.
    if (suspect_) MAIL_CHECK(scan(writing));
    MAIL_TRY(keywords, keyword_bits(writing, stored_keywords(change.flags, change.keywords),
                                    change.how != FlagChange::How::remove));
    std::uint64_t present = 0;
    record::FlagsChanged record{next_modseq(), change.how, change.flags, keywords, false, {}};
    for (const auto& range : change.uids.ranges()) {
      for (auto row = image_.lower_bound(range.first); row < image_.rows() && image_.uid(row) <= range.last; ++row) {
        if (image_.tombstone(row)) continue;
        ++present;
        const auto uid = image_.uid(row);
        if (change.unchanged_since && image_.modseq(row) > *change.unchanged_since) {
          out.modified.add(uid);
          continue;
        }
        Flags flags = change.flags;
        KeywordBits bits = keywords;
        if (change.how == FlagChange::How::add) flags = flags | image_.flags(row), bits |= image_.keywords(row);
        if (change.how == FlagChange::How::remove)
          flags = image_.flags(row) & ~flags, bits = image_.keywords(row) & ~bits;
        if (flags == image_.flags(row) && bits == image_.keywords(row)) continue;
        record.uids.add(uid);
        out.changed.push_back(uid);
      }
    }
    if (present < change.uids.count())
      change.uids.for_each([&](Uid uid) {
        const auto row = image_.lower_bound(uid);
        if (row == image_.rows() || image_.uid(row) != uid || image_.tombstone(row)) out.gone.add(uid);
      });
    out.modseq = image_.modseq_highest;
    if (record.uids.empty()) return out;
    out.modseq = record.modseq;
    MAIL_CHECK(applied(writing, Batch{{std::move(record)}, {}, origin}));
  }
  if (context_->settings.flush) MAIL_CHECK(log_.flush());
  return out;
}

Result<UidSet> Mailbox::expunge(const UidSet* uids, std::uint64_t origin) {
  record::Expunged record;
  {
    MAIL_TRY(writing, begin());
    if (stale()) MAIL_CHECK(scan(writing));
    record.modseq = next_modseq();
    std::int64_t octets = 0, messages = 0;
    const auto consider = [&](RowNumber row) {
      if (image_.tombstone(row) || !has(image_.flags(row), Flags::deleted)) return;
      record.uids.add(image_.uid(row));
      octets += static_cast<std::int64_t>(image_.file_octets(row));
      ++messages;
    };
    if (uids == nullptr) {
      for (RowNumber row = 0; image_.deleted() > 0 && row < image_.rows(); ++row) consider(row);
    } else {
      for (const auto& range : uids->ranges())
        for (auto row = image_.lower_bound(range.first); row < image_.rows() && image_.uid(row) <= range.last; ++row)
          consider(row);
    }
    if (record.uids.empty()) return UidSet{};
    MAIL_CHECK(applied(writing, Batch{{record}, {}, 0}));
    if (place_.usage) place_.usage(-octets, -messages);
  }
  (void)origin;
  if (context_->settings.flush) MAIL_CHECK(log_.flush());
  return record.uids;
}

bool Mailbox::has_pending() const {
  std::shared_lock lock(image_lock_);
  return !image_.dirty_rows().empty() || !image_.graves().empty();
}

std::map<std::string, std::pair<const Directory*, std::string>> Mailbox::names_by_base() const {
  std::map<std::string, std::pair<const Directory*, std::string>> out;
  for (const auto* directory : {&new_, &cur_})
    if (const auto names = context_->disk->list(*directory))
      for (const auto& name : *names) out[std::string(parse_file_name(name).base)] = {directory, name};
  return out;
}

Result<bool> Mailbox::write_pending(std::size_t most) {
  MAIL_TRY(writing, begin());
  auto& disk = *context_->disk;
  Stamp before;
  look(before);
  std::vector<Record> records;
  std::size_t done = 0;

  record::Buried buried;
  std::optional<std::map<std::string, std::pair<const Directory*, std::string>>>
      renamed;  // by base: listed once, if at all
  for (const auto& grave : image_.graves()) {
    if (done++ >= most) break;
    const auto& directory = grave.in_new ? new_ : cur_;
    expect(directory, grave.name);
    auto removed = disk.unlink(directory, grave.name);
    if (!removed && removed.error().kind == Error::Kind::not_found) {  // another host may have changed its flags
      if (!renamed) renamed = names_by_base();
      const auto found = renamed->find(std::string(parse_file_name(grave.name).base));
      if (found != renamed->end()) {
        expect(*found->second.first, found->second.second);
        removed = disk.unlink(*found->second.first, found->second.second);
      }
    }
    if (!removed && removed.error().kind != Error::Kind::not_found) break;
    if (!removed) suspect_ = true;
    ++buried.count;
  }
  if (buried.count > 0) records.push_back(buried);

  record::Written written;
  bool failed = false;
  std::vector<RowNumber> rows = image_.dirty_rows();
  std::sort(rows.begin(), rows.end());
  for (const auto row : rows) {
    if (done >= most || failed) break;
    if (row >= image_.rows() || image_.tombstone(row) || !image_.dirty(row)) continue;
    ++done;
    const auto from = image_.file_name(row);
    const auto to = image_.wanted_name(row);
    const auto& directory = image_.in_new(row) ? new_ : cur_;
    if (&directory != &cur_ || from != to) {
      expect(directory, from);
      expect(cur_, to);
      const auto moved = disk.rename(directory, from, cur_, to);
      if (!moved && moved.error().kind == Error::Kind::not_found) {
        suspect_ = true;  // another program renamed or removed it; the scan tells, and merges the flags
        continue;
      }
      if (!moved) {
        failed = true;
        break;
      }
    }
    written.uids.add(image_.uid(row));
  }
  const bool more = !failed && done >= most;
  if (!written.uids.empty()) records.push_back(std::move(written));
  if (!records.empty()) MAIL_CHECK(restamp(writing, before, records));
  MAIL_CHECK(applied(writing, Batch{std::move(records), {}, 0}));
  if (suspect_) MAIL_CHECK(scan(writing));
  return more;
}

Status Mailbox::compact_files(bool closing) {
  const auto worth = [&] {
    const auto log = log_.log_octets();
    return closing ? log > kLogLeast / 16 : log > std::max(kLogLeast, log_.snapshot_octets() / 2);
  };
  // Mostly there is nothing to do: that costs no lock of the index. Whoever is writing just now leaves it to the next.
  if (const std::unique_lock held(writer_, std::try_to_lock); held && !worth()) return {};
  MAIL_TRY(writing, begin());
  (void)writing;
  if (!worth()) return {};
  MAIL_CHECK(log_.rewrite(image_));
  // A first visit takes far more memory than the mailbox needs from then on.
  if (log_.snapshot_octets() > kTrimFrom) trim_heap();
  // The uid list loses the lines of messages that are gone, when they are many.
  Stamp now;
  stamp_uidlist(place_.folder, now, false);
  if (!same_list(now, image_.stamp) || now.list_octets < 100 * (std::uint64_t{image_.messages()} * 2 + 100)) return {};
  MAIL_TRY(lock, Dotlock::take(*context_->disk, place_.folder, std::string(kUidlistLock)));
  (void)lock;
  MAIL_TRY(text, read_uidlist(*context_->disk, place_.folder));
  MAIL_TRY(list, parse_uidlist(text));
  if (list.header.uid_validity != image_.uid_validity) return {};
  std::string out = format_uidlist_header(list.header);
  for (const auto& entry : list.entries) {
    const auto row = image_.find(entry.uid);
    if (entry.uid >= image_.uid_next || (row && !image_.tombstone(*row)))
      append_uidlist_line(out, entry.uid, entry.extensions, entry.base);
  }
  return write_uidlist(*context_->disk, place_.folder, out, context_->settings.flush);
}

}  // namespace mail::store
