// Bringing the image and the directories together: other programs add, flag and remove files at any time.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "base/strings.h"
#include "store/dotlock.h"
#include "store/file_name.h"
#include "store/mailbox_core.h"
#include "store/parallel.h"
#include "store/uidlist_file.h"

namespace mail::store {

struct Mailbox::Found {
  std::string name;
  bool in_new = false;
};

namespace {

/// Directory times have the kernel's tick: a change within it after our look would not show. Without a watcher such a
/// time is not trusted.
constexpr std::int64_t kTick = 20'000'000;

/// From base to row, for one scan.
class RowTable {
 public:
  RowTable(const Image& image, const std::vector<RowNumber>& rows) : image_(image) {
    std::size_t size = 16;
    while (size < rows.size() * 2) size *= 2;
    slots_.assign(size, 0);
    for (const auto row : rows) {
      const auto base = image.base(row);
      auto at = XXH3_64bits(base.data(), base.size()) & (size - 1);
      while (slots_[at] != 0) at = (at + 1) & (size - 1);
      slots_[at] = row + 1;
    }
  }
  std::optional<RowNumber> find(std::string_view base) const {
    auto at = XXH3_64bits(base.data(), base.size()) & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1))
      if (image_.has_base(slots_[at] - 1, base)) return slots_[at] - 1;
    return std::nullopt;
  }

 private:
  const Image& image_;
  std::vector<RowNumber> slots_;
};

/// What one file name on disk says against what the image believes.
void compare(const Image& image, RowNumber row, const std::string& name, bool in_new, std::vector<Record>& records,
             ModSeq modseq) {
  if (image.in_new(row) == in_new && image.file_name(row) == name) return;
  const auto uids = UidSet::of(image.uid(row));
  const auto parsed = parse_file_name(name);
  if (image.in_new(row) && !in_new) records.push_back(record::Written{uids});  // another program took it to cur
  const auto before = image.disk_flags(row);
  const Flags now_flags = parsed.flags;
  const KeywordBits now_keywords = parsed.keywords;
  if (now_flags != before.flags || now_keywords != before.keywords) {
    // Ours that are still to be written, and what the other program changed, both count.
    const Flags flags = (image.flags(row) & ~(before.flags & ~now_flags)) | (now_flags & ~before.flags);
    const KeywordBits keywords =
        (image.keywords(row) & ~(before.keywords & ~now_keywords)) | (now_keywords & ~before.keywords);
    records.push_back(record::FlagsChanged{modseq, FlagChange::How::replace, now_flags, now_keywords, true, uids});
    if (flags != now_flags || (keywords & kLetterBits) != now_keywords)
      records.push_back(record::FlagsChanged{modseq, FlagChange::How::replace, flags, keywords, false, uids});
  }
  std::string usual(parsed.base);
  if (!in_new) append_info(usual, now_flags, now_keywords);
  if (usual != name) records.push_back(record::Odd{image.uid(row), name});
}

}  // namespace

Status Mailbox::list_names(bool all, std::vector<Found>& found) const {
  const auto take = [&](const Directory& directory, bool in_new) -> Status {
    MAIL_TRY(names, context_->disk->list(directory));
    found.reserve(found.size() + names.size());
    for (auto& name : names)
      if (name.front() != '.' && name.size() <= 255) found.push_back({std::move(name), in_new});
    return {};
  };
  MAIL_CHECK(take(new_, true));
  if (all) MAIL_CHECK(take(cur_, false));
  return {};
}

Status Mailbox::scan(Writing& writing, bool list_locked) {
  Stamp now;
  look(now);
  const bool suspect = suspect_.exchange(false);
  if (!suspect && now == image_.stamp) return {};
  ++scans_;
  const bool list_changed = !same_list(now, image_.stamp);
  if (list_changed && now.list_inode != 0) {
    const auto header = read_uidlist_header(*context_->disk, place_.folder);
    if (header && header->uid_validity != image_.uid_validity) {
      MAIL_CHECK(load());  // another program started the mailbox anew
      look(now);
    }
  }
  bool all = suspect || list_changed || now.cur_time != image_.stamp.cur_time;
  std::vector<Found> found;
  MAIL_CHECK(list_names(all, found));

  std::vector<Record> records;
  const auto modseq = next_modseq();
  if (all) {  // keywords that another program made
    const auto names = read_keywords(*context_->disk, place_.folder);
    for (std::size_t i = 0; i < names.size() && i < 26; ++i)
      if (!names[i].empty() && (i >= image_.keyword_names().size() || image_.keyword_names()[i] != names[i]))
        records.push_back(record::Keyword{static_cast<std::uint8_t>(i), names[i]});
  }
  // Rows whose file should be among the found.
  std::vector<RowNumber> wanted;
  if (all) {
    for (RowNumber row = 0; row < image_.rows(); ++row)
      if (!image_.tombstone(row)) wanted.push_back(row);
  } else {
    for (const auto row : image_.dirty_rows())
      if (image_.in_new(row)) wanted.push_back(row);
  }
  std::vector<Found> unknown;
  std::vector<RowNumber> missing;
  const auto match = [&](std::vector<Found>& names, bool again) {
    const RowTable table(image_, wanted);
    std::vector<bool> seen(image_.rows());
    std::unordered_set<std::string_view> graves;
    for (const auto& grave : image_.graves()) graves.insert(grave.name);
    for (auto& file : names) {
      const auto base = std::string_view(file.name).substr(0, file.name.rfind(':'));
      const auto row = table.find(base);
      if (row) {
        if (seen[*row]) continue;  // the same message twice: a rename was under way while we listed
        seen[*row] = true;
        if (image_.in_new(*row) == file.in_new || all) compare(image_, *row, file.name, file.in_new, records, modseq);
      } else if (!again && graves.count(file.name) == 0) {
        unknown.push_back(std::move(file));
      }
    }
    missing.clear();
    for (const auto row : wanted)
      if (!seen[row]) missing.push_back(row);
  };
  match(found, false);
  if (!missing.empty()) {
    // A file that is renamed while its directory is read may show under neither name: only what is missing twice is
    // gone.
    // And only by a listing during which the directories did not change.
    all = true;
    bool sure = false;
    for (int attempt = 0; attempt < 20 && !missing.empty() && !sure; ++attempt) {
      Stamp before, after;
      look(before);
      std::vector<Found> again;
      MAIL_CHECK(list_names(true, again));
      look(after);
      wanted = missing;
      match(again, true);
      const auto wall =
          std::chrono::duration_cast<std::chrono::nanoseconds>(context_->clock->now().time_since_epoch()).count();
      sure = before.cur_time == after.cur_time && before.new_time == after.new_time &&
             wall - std::max(before.cur_time, before.new_time) > kTick / 2;
      if (!sure && !missing.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (!sure && !missing.empty()) {
      missing.clear();  // too busy to tell: the next look will
      suspect_ = true;
    }
    record::Expunged expunged{modseq, false, {}};
    std::int64_t octets = 0;
    for (const auto row : missing) {
      expunged.uids.add(image_.uid(row));
      octets += static_cast<std::int64_t>(image_.file_octets(row));
    }
    if (!missing.empty()) {
      if (place_.usage) place_.usage(-octets, -static_cast<std::int64_t>(missing.size()));
      records.push_back(std::move(expunged));
    }
  }
  std::optional<Dotlock> lock;
  if (!unknown.empty() && !list_locked) {
    MAIL_TRY(taken, Dotlock::take(*context_->disk, place_.folder, std::string(kUidlistLock)));
    lock.emplace(std::move(taken));
    Stamp then;
    stamp_uidlist(place_.folder, then);
    if (!same_list(now, then)) {
      // Another program gave UIDs since we listed the folder: its messages come first, so all is listed again, now
      // under the lock.
      suspect_ = true;
      return scan(writing, true);
    }
  }
  if (!unknown.empty())
    MAIL_CHECK(take_in(writing, unknown, records));
  else if (list_changed && now.list_inode != 0) {
    if (const auto header = read_uidlist_header(*context_->disk, place_.folder);
        header && header->uid_next > image_.uid_next)
      records.push_back(record::Numbers{header->uid_next, image_.first_recent});
  }
  stamp_uidlist(place_.folder, now);  // take_in() wrote it
  if (!watched) {
    const auto wall =
        std::chrono::duration_cast<std::chrono::nanoseconds>(context_->clock->now().time_since_epoch()).count();
    if (wall - now.cur_time < kTick) now.cur_time = 0;
    if (wall - now.new_time < kTick) now.new_time = 0;
  }
  records.push_back(record::Stamped{now});
  return applied(writing, Batch{std::move(records), {}, 0});
}

Status Mailbox::take_in(Writing&, std::vector<Found>& unknown, std::vector<Record>& records) {
  // The order in which they came: by the time in the name.
  std::vector<std::pair<std::pair<std::uint64_t, std::uint64_t>, std::size_t>> order;
  order.reserve(unknown.size());
  for (std::size_t i = 0; i < unknown.size(); ++i) order.push_back({name_time(unknown[i].name), i});
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : unknown[a.second].name < unknown[b.second].name;
  });
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(context_->clock->now().time_since_epoch()).count();
  std::vector<AddedRow> rows(unknown.size());
  std::vector<char> usable(unknown.size(), 0);
  in_parallel(unknown.size(), context_->settings.parse_threads, 2000, [&](std::size_t i) {
    const auto& file = unknown[order[i].second];
    const auto& directory = file.in_new ? new_ : cur_;
    const auto found = context_->disk->stat(directory, file.name);
    // A symbolic link, a FIFO or a device is not mail; nor is what another one removed meanwhile.
    if (!found || !S_ISREG(found->st_mode)) return;
    const auto parsed = parse_file_name(file.name);
    const auto octets = static_cast<std::uint64_t>(found->st_size);
    if (torn(directory, file.name)) {
      log_event(LogLevel::warning, "message-torn", {{"file", concat({directory.path(), "/", file.name})}});
      (void)context_->disk->rename(directory, file.name, tmp_, file.name);
      return;
    }
    auto& row = rows[i];
    row.flags = parsed.flags;
    row.keywords = parsed.keywords;
    row.in_new = file.in_new;
    row.internal_date = found->st_mtim.tv_sec;
    row.save_date = now;
    row.file_octets = octets;
    row.wire_octets = parsed.wire_octets && *parsed.wire_octets >= octets ? *parsed.wire_octets : 0;
    row.base = std::string(parsed.base);
    std::string usual = row.base;
    if (!file.in_new) append_info(usual, parsed.flags, parsed.keywords);
    if (usual != file.name) row.odd_name = file.name;
    usable[i] = 1;
  });
  std::vector<AddedRow> taken;
  taken.reserve(rows.size());
  std::unordered_set<std::string_view> bases;  // one file in cur and in new under one base: the first
  std::int64_t octets = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (usable[i] == 0 || !bases.insert(rows[i].base).second) continue;
    octets += static_cast<std::int64_t>(rows[i].file_octets);
    taken.push_back(rows[i]);
  }
  if (taken.empty()) return {};
  MAIL_CHECK(give_uids(taken));
  if (place_.usage) place_.usage(octets, static_cast<std::int64_t>(taken.size()));
  records.push_back(record::Added{next_modseq(), std::move(taken)});
  return {};
}

bool Mailbox::torn(const Directory& directory, const std::string& name) const {
  const auto check = check_of(name);
  if (check.empty()) return false;
  const auto parsed = parse_file_name(name);
  if (!parsed.octets) return false;
  auto fd = context_->disk->open(directory, name, O_RDONLY | O_NONBLOCK);
  if (!fd) return false;
  const auto file = MessageFile::open(std::move(*fd));
  if (!file) return false;
  const auto raw = (*file)->raw();
  return raw.size() != *parsed.octets || check_text(XXH3_64bits(raw.data(), raw.size())) != check;
}

Status Mailbox::drop_torn(Writing& writing) {
  check_torn_ = false;
  record::Expunged expunged{next_modseq(), false, {}};
  std::int64_t octets = 0, messages = 0;
  for (auto row = image_.lower_bound(static_cast<Uid>(number(image_.durable) + 1)); row < image_.rows(); ++row) {
    if (image_.tombstone(row)) continue;
    const auto name = image_.file_name(row);
    const auto& directory = image_.in_new(row) ? new_ : cur_;
    if (!torn(directory, name)) continue;
    log_event(LogLevel::warning, "message-torn", {{"file", concat({directory.path(), "/", name})}});
    (void)context_->disk->rename(directory, name, tmp_, name);
    expunged.uids.add(image_.uid(row));
    octets += static_cast<std::int64_t>(image_.file_octets(row));
    ++messages;
  }
  if (image_.rows() > 0) flushed_to_ = std::max(flushed_to_.load(), number(image_.uid(image_.rows() - 1)));
  if (expunged.uids.empty()) return {};
  if (place_.usage) place_.usage(-octets, -messages);
  return applied(writing, Batch{{std::move(expunged)}, {}, 0});
}

std::string Mailbox::whole_uidlist(const UidlistHeader& header, const std::vector<AddedRow>& more) const {
  std::string out = format_uidlist_header(header);
  for (RowNumber row = 0; row < image_.rows(); ++row)
    if (!image_.tombstone(row)) append_uidlist_line(out, image_.uid(row), {}, image_.base(row));
  for (const auto& row : more) append_uidlist_line(out, row.uid, {}, row.base);
  return out;
}

/// Under the uid list's lock. Gives each row its UID: the one that the list has for its name, else the next. The list
/// is durable when this returns: a UID that a client has seen is never given to another message.
Result<UidSet> Mailbox::give_uids(std::vector<AddedRow>& rows) {
  auto& disk = *context_->disk;
  const bool flush = context_->settings.flush;
  std::uint32_t next = number(image_.uid_next);
  const std::uint32_t last = image_.rows() == 0 ? 0 : number(image_.uid(image_.rows() - 1));
  Stamp now;
  stamp_uidlist(place_.folder, now);
  bool whole = false;
  std::vector<AddedRow*> fresh;
  if (now.list_inode != 0 && same_list(now, image_.stamp)) {
    for (auto& row : rows) fresh.push_back(&row);
  } else {
    auto text = read_uidlist(disk, place_.folder);
    Result<Uidlist> list = text ? parse_uidlist(*text) : Result<Uidlist>(tl::unexpected(text.error()));
    if (!text && text.error().kind != Error::Kind::not_found) return tl::unexpected(text.error());
    std::unordered_map<std::string_view, AddedRow*> by_base;
    for (auto& row : rows) by_base.emplace(row.base, &row);
    if (list && list->header.uid_validity == image_.uid_validity) {
      next = std::max(next, number(list->header.uid_next));
      for (const auto& entry : list->entries) {
        if (number(entry.uid) <= last) continue;
        const auto found = by_base.find(entry.base);
        if (found != by_base.end()) found->second->uid = entry.uid;
      }
      whole = list->damaged;
    } else if (list) {
      reload_ = true;
      return fail(Error::Kind::temporary, "dovecot-uidlist changed; try again");
    } else {
      whole = true;
    }
    for (auto& row : rows)
      if (number(row.uid) == 0) fresh.push_back(&row);
  }
  if (std::uint64_t{next} + fresh.size() >= UINT32_MAX)
    return fail(Error::Kind::permanent, "the mailbox has no UIDs left");
  std::string lines;
  for (auto* row : fresh) {
    row->uid = static_cast<Uid>(next++);
    if (!whole) append_uidlist_line(lines, row->uid, {}, row->base);
  }
  std::sort(rows.begin(), rows.end(), [](const AddedRow& a, const AddedRow& b) { return a.uid < b.uid; });
  if (whole) {
    MAIL_CHECK(write_uidlist(disk, place_.folder,
                             whole_uidlist({image_.uid_validity, static_cast<Uid>(next), image_.guid}, rows), flush));
  } else if (!lines.empty()) {
    MAIL_CHECK(append_uidlist(disk, place_.folder, lines, flush && !flush_follows_));
  }
  UidSet out;
  for (const auto& row : rows) out.add(row.uid);
  return out;
}

}  // namespace mail::store
