// Bringing the image and the directories together: other programs add, flag and remove files at any time.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "base/strings.h"
#include "store/dotlock.h"
#include "store/file_name.h"
#include "store/mailbox_core.h"
#include "store/mailbox_pass.h"
#include "store/message_file.h"
#include "store/parallel.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {

/// Directory times have the kernel's tick: a change within it after our look would not show.
constexpr auto kTick = std::chrono::milliseconds(20);
/// A file that never shows for so long, in so many listings, is gone, however busy the folder is.
constexpr auto kMissedLong = std::chrono::seconds(1);
constexpr int kMissedOften = 12;
/// Seconds in which another host's message comes to the server whole.
constexpr std::int64_t kOnItsWay = 600;

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

bool Mailbox::still(const Stamp& looked) {
  const auto now = std::chrono::steady_clock::now();
  if (!same_directories(looked, still_)) {
    still_ = looked;
    still_since_ = now;
  }
  if (now - still_since_ > kTick) return true;
  if (remote_) return false;  // another machine's clock wrote the times
  const auto wall =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return wall - std::max(looked.cur_time, looked.new_time) > std::chrono::nanoseconds(kTick).count();
}

Status Mailbox::scan(Writing& writing, bool list_locked) {
  if (moving_ > 0 && !list_locked) return {};
  auto status = scan_once(writing, list_locked);
  if (status) return status;
  suspect_ = true;
  // On a full disk what is known can still be read; what is new shows when there is room. A UID is never given so.
  if (!no_room(status.error()) || list_locked) return status;
  log_event(LogLevel::warning, "mailbox-not-refreshed",
            {{"mailbox", place_.folder.path()}, {"cause", status.error().text}});
  return {};
}

Status Mailbox::scan_once(Writing& writing, bool list_locked) {
  Pass pass;
  look(pass.now, list_locked);
  const bool suspect = suspect_.exchange(false);
  if (!suspect && pass.now == image_.stamp) return {};
  ++scans_;
  const bool list_changed = !same_list(pass.now, image_.stamp);
  if (list_changed && pass.now.list_inode != 0) {
    const auto header = read_uidlist_header(*context_->disk, place_.folder);
    if (header && header->uid_validity != image_.uid_validity) {
      MAIL_CHECK(load());  // another program started the mailbox anew
      suspect_ = true;
      return scan_once(writing, list_locked);
    }
  }
  pass.quiet = still(pass.now);
  pass.all = suspect || list_changed || pass.now.cur_time != image_.stamp.cur_time;
  pass.modseq = next_modseq();
  std::vector<Found> found;
  MAIL_CHECK(list_names(pass.all, found));
  // Which messages the list has must be known before a row is added; and it is read after the folder, so that what is
  // in it was there to be listed.
  std::optional<Dotlock> lock;
  const auto lock_list = [&]() -> Result<bool> {
    if (list_locked || lock) return true;
    MAIL_TRY(taken, Dotlock::take(*context_->disk, place_.folder, std::string(kUidlistLock)));
    lock.emplace(std::move(taken));
    Stamp then;
    stamp_uidlist(place_.folder, then, true);
    return same_list(pass.now, then);
  };
  if (list_changed) {
    MAIL_TRY(same, lock_list());
    if (!same) return scan_again(writing);
  }
  if (pass.all) note_keywords(pass);
  match(pass, found);
  if (!pass.unknown.empty()) {
    MAIL_TRY(same, lock_list());
    if (!same) return scan_again(writing);
  }
  MAIL_CHECK(find_missing(pass));
  if (!pass.unknown.empty() || list_changed) {
    MAIL_CHECK(take_in(pass));
    stamp_uidlist(place_.folder, pass.now, true);
  }
  // What changes within the tick after our look does not show in the times. A watcher tells of files in `cur`.
  if (!pass.quiet) pass.now.new_time = 0;
  if (!pass.quiet && !watched) pass.now.cur_time = 0;
  pass.records.push_back(record::Stamped{pass.now});
  MAIL_CHECK(applied(writing, Batch{std::move(pass.records), {}, 0}));
  if (place_.usage && (pass.octets != 0 || pass.messages != 0)) place_.usage(pass.octets, pass.messages);
  return {};
}

/// Another program gave UIDs since the folder was listed: its messages come first, so all is listed again under the
/// lock.
Status Mailbox::scan_again(Writing& writing) {
  suspect_ = true;
  return scan_once(writing, true);
}

void Mailbox::note_keywords(Pass& pass) const {
  const auto names = read_keywords(*context_->disk, place_.folder);
  for (std::size_t i = 0; i < names.size() && i < 26; ++i)
    if (!names[i].empty() && (i >= image_.keyword_names().size() || image_.keyword_names()[i] != names[i]))
      pass.records.push_back(record::Keyword{static_cast<std::uint8_t>(i), names[i]});
}

/// What one file name on disk says against what the image believes.
void Mailbox::compare(RowNumber row, const Found& file, Pass& pass) const {
  const auto& image = image_;
  const auto uids = UidSet::of(image.uid(row));
  if (image.file_octets(row) == 0) {  // its line in the list was seen before the file was
    const auto found = context_->disk->stat(file.in_new ? new_ : cur_, file.name);
    if (found && found->st_size != 0)
      pass.records.push_back(record::Known{{{image.uid(row), static_cast<std::uint64_t>(found->st_size), 0, 0}}});
  }
  if (image.in_new(row) == file.in_new && image.file_name(row) == file.name) return;
  const auto parsed = parse_file_name(file.name);
  if (image.in_new(row) && !file.in_new)
    pass.records.push_back(record::Written{uids});  // another program took it to cur
  const auto before = image.disk_flags(row);
  const Flags now_flags = parsed.flags;
  const KeywordBits now_keywords = parsed.keywords;
  if (now_flags != before.flags || now_keywords != before.keywords) {
    // Ours that are still to be written, and what the other program changed, both count.
    const Flags flags = (image.flags(row) & ~(before.flags & ~now_flags)) | (now_flags & ~before.flags);
    const KeywordBits keywords =
        (image.keywords(row) & ~(before.keywords & ~now_keywords)) | (now_keywords & ~before.keywords);
    pass.records.push_back(
        record::FlagsChanged{pass.modseq, FlagChange::How::replace, now_flags, now_keywords, true, uids});
    if (flags != now_flags || (keywords & kLetterBits) != now_keywords)
      pass.records.push_back(record::FlagsChanged{pass.modseq, FlagChange::How::replace, flags, keywords, false, uids});
  }
  std::string usual(parsed.base);
  if (!file.in_new) append_info(usual, now_flags, now_keywords);
  if (usual != file.name) pass.records.push_back(record::Odd{image.uid(row), file.name});
}

/// Sets pass.unknown and pass.seen, and notes what the names say.
void Mailbox::match(Pass& pass, std::vector<Found>& names) const {
  const RowTable table(image_, wanted(pass));
  pass.seen.assign(image_.rows(), false);
  std::unordered_set<std::string_view> graves;
  for (const auto& grave : image_.graves())
    graves.insert(std::string_view(grave.name).substr(0, grave.name.rfind(':')));
  for (auto& file : names) {
    const auto base = std::string_view(file.name).substr(0, file.name.rfind(':'));
    const auto row = table.find(base);
    if (row) {
      if (pass.seen[*row]) continue;  // the same message twice: a rename was under way while we listed
      pass.seen[*row] = true;
      compare(*row, file, pass);
    } else if (graves.count(base) == 0) {  // those are expunged, whatever name they have by now
      pass.unknown.push_back(std::move(file));
    }
  }
}

/// Rows whose file should be among the listed.
std::vector<RowNumber> Mailbox::wanted(const Pass& pass) const {
  std::vector<RowNumber> out;
  if (pass.all) {
    for (RowNumber row = 0; row < image_.rows(); ++row)
      if (!image_.tombstone(row) && (pass.seen.empty() || !pass.seen[row])) out.push_back(row);
  } else {
    for (const auto row : image_.dirty_rows())
      if (image_.in_new(row) && (pass.seen.empty() || !pass.seen[row])) out.push_back(row);
  }
  return out;
}

/// A file that is renamed while its directory is read may show under neither name. So the folder is listed until
/// `take` says that it has found all, or once nothing changed meanwhile. Returns whether one of both was so.
Result<bool> Mailbox::list_again(bool found_all, const std::function<bool(std::vector<Found>&)>& take) {
  constexpr int kAttempts = 6;
  for (int attempt = 0; attempt < kAttempts && !found_all; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    Stamp before, after;
    look(before);
    const bool quiet = still(before);
    std::vector<Found> files;
    MAIL_CHECK(list_names(true, files));
    found_all = take(files);
    look(after);
    if (quiet && same_directories(before, after)) return true;
  }
  return found_all;
}

/// A message is gone when a listing during which nothing changed does not have it, or very many do not.
Status Mailbox::find_missing(Pass& pass) {
  auto missing = wanted(pass);
  int listings = 0;
  MAIL_TRY(sure, list_again(missing.empty(), [&](std::vector<Found>& again) {
             ++listings;
             const RowTable table(image_, missing);
             for (auto& file : again) {
               const auto row = table.find(std::string_view(file.name).substr(0, file.name.rfind(':')));
               if (!row || pass.seen[*row]) continue;
               pass.seen[*row] = true;
               compare(*row, file, pass);
             }
             std::erase_if(missing, [&](RowNumber row) { return pass.seen[row]; });
             return missing.empty();
           }));
  std::map<Uid, Missed> missed;
  record::Expunged expunged{pass.modseq, false, {}};
  const auto now = std::chrono::steady_clock::now();
  for (const auto row : missing) {
    const auto uid = image_.uid(row);
    const auto before = missed_.find(uid);
    auto entry = before == missed_.end() ? Missed{now, 0} : before->second;
    entry.listings += listings;
    if (!sure && (now - entry.since < kMissedLong || entry.listings < kMissedOften)) {
      missed.emplace(uid, entry);  // too busy to tell: the next look will
      continue;
    }
    expunged.uids.add(uid);
    pass.octets -= static_cast<std::int64_t>(image_.file_octets(row));
    --pass.messages;
  }
  if (!missed.empty()) suspect_ = true;
  missed_ = std::move(missed);
  if (!expunged.uids.empty()) pass.records.push_back(std::move(expunged));
  return {};
}

/// What the files say of themselves, in the order in which they came: by the time in the name. Left out is what is not
/// mail, what is torn, and what has another name by now.
std::vector<AddedRow> Mailbox::describe(const std::vector<Found>& files) {
  std::vector<std::pair<std::pair<std::uint64_t, std::uint64_t>, std::size_t>> order;
  order.reserve(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) order.push_back({name_time(files[i].name), i});
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : files[a.second].name < files[b.second].name;
  });
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(context_->clock->now().time_since_epoch()).count();
  std::vector<AddedRow> rows(files.size());
  std::vector<char> usable(files.size(), 0);
  in_parallel(files.size(), context_->settings.parse_threads, 2000, [&](std::size_t i) {
    const auto& file = files[order[i].second];
    const auto& directory = file.in_new ? new_ : cur_;
    const auto found = context_->disk->stat(directory, file.name);
    // A symbolic link, a FIFO or a device is not mail.
    if (!found && found.error().kind == Error::Kind::not_found) suspect_ = true;  // renamed or removed meanwhile
    if (!found || !S_ISREG(found->st_mode)) return;
    const auto parsed = parse_file_name(file.name);
    auto octets = static_cast<std::uint64_t>(found->st_size);
    if (const auto state = content(directory, file.name); state == Content::torn) {
      log_event(LogLevel::warning, "message-torn", {{"file", concat({directory.path(), "/", file.name})}});
      (void)context_->disk->rename(directory, file.name, tmp_, file.name);
      return;
    } else if (state == Content::on_its_way) {
      octets = *parsed.octets;
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
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (usable[i] != 0 && bases.insert(rows[i].base).second) taken.push_back(rows[i]);
  return taken;
}

/// Whether a file of ours has the content that its name promises.
Mailbox::Content Mailbox::content(const Directory& directory, const std::string& name) const {
  const auto check = check_of(name);
  const auto parsed = parse_file_name(name);
  if (check.empty() || !parsed.octets) return Content::whole;  // cannot be known
  auto fd = context_->disk->open(directory, name, O_RDONLY | O_NONBLOCK);
  struct stat found {};
  if (!fd || ::fstat(fd->get(), &found) != 0) return Content::whole;
  // Over NFS the name may show before the content: what another host writes is not judged for a while.
  if (host_of(name) != context_->settings.host && std::abs(::time(nullptr) - found.st_ctim.tv_sec) < kOnItsWay)
    return static_cast<std::uint64_t>(found.st_size) == *parsed.octets ? Content::whole : Content::on_its_way;
  const auto file = MessageFile::open(std::move(*fd));
  if (!file) return Content::whole;
  const auto raw = (*file)->raw();
  if (raw.size() < *parsed.octets) return Content::torn;
  // Octets that never came read as zeros; a text that was changed by hand has none.
  if (check_text(XXH3_64bits(raw.data(), raw.size())) == check) return Content::whole;
  return raw.find('\0') == std::string_view::npos ? Content::whole : Content::torn;
}

Status Mailbox::drop_torn(Writing& writing) {
  check_torn_ = false;
  record::Expunged expunged{next_modseq(), false, {}};
  std::int64_t octets = 0, messages = 0;
  for (auto row = image_.lower_bound(static_cast<Uid>(number(image_.durable) + 1)); row < image_.rows(); ++row) {
    if (image_.tombstone(row) || check_of(image_.stem(row)).empty()) continue;
    const auto name = image_.file_name(row);
    const auto& directory = image_.in_new(row) ? new_ : cur_;
    if (content(directory, name) != Content::torn) continue;
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

}  // namespace mail::store
