#include "store/mailbox_core.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>

#include "base/id.h"
#include "base/log.h"
#include "base/strings.h"
#include "store/dotlock.h"
#include "store/summary_cache.h"
#include "store/text_index.h"
#include "store/uidlist_file.h"
#include "store/view.h"
#include "store/watch.h"

namespace mail::store {

std::uint64_t event_hash(int directory_tag, std::string_view name) {
  return XXH3_64bits_withSeed(name.data(), name.size(), static_cast<XXH64_hash_t>(directory_tag));
}

Mailbox::Mailbox(std::shared_ptr<StoreContext> context, Place place)
    : context_(std::move(context)),
      place_(std::move(place)),
      log_(*context_->disk, place_.index ? place_.index : place_.folder) {}

Mailbox::~Mailbox() = default;

Result<std::shared_ptr<Mailbox>> Mailbox::open(std::shared_ptr<StoreContext> context, Place place) {
  std::shared_ptr<Mailbox> mailbox(new Mailbox(std::move(context), std::move(place)));
  MAIL_CHECK(mailbox->open_directories());
  std::unique_lock held(mailbox->writer_);
  MAIL_TRY(lock, mailbox->log_.lock());
  MAIL_CHECK(mailbox->load());
  Writing writing(std::move(held), std::move(lock));
  return mailbox;  // the caller watches the folder, then refreshes: no change falls between
}

Status Mailbox::open_directories() {
  auto& disk = *context_->disk;
  const auto open_one = [&](const std::string& name, Directory& out) -> Status {
    auto opened = disk.open_directory_at(place_.folder, name);
    if (!opened && opened.error().kind == Error::Kind::not_found) {
      const auto made = disk.make_directory(place_.folder, name);
      if (!made && made.error().system != EEXIST) return made;
      opened = disk.open_directory_at(place_.folder, name);
    }
    if (!opened) return tl::unexpected(std::move(opened).error());
    out = std::move(*opened);
    return {};
  };
  MAIL_CHECK(open_one("cur", cur_));
  remote_ = on_network(cur_.fd());
  MAIL_CHECK(open_one("new", new_));
  return open_one("tmp", tmp_);
}

Status Mailbox::load() {
  Image image;
  auto loaded = log_.load(image);
  if (!loaded && loaded.error().kind != Error::Kind::not_found && loaded.error().kind != Error::Kind::syntax)
    return loaded;
  if (!loaded && loaded.error().kind == Error::Kind::syntax)
    log_event(LogLevel::warning, "index-rebuilt", {{"mailbox", place_.folder.path()}, {"cause", loaded.error().text}});
  bool usable = static_cast<bool>(loaded);
  if (usable) {
    // The list may say that the mailbox is another one now.
    const auto header = read_uidlist_header(*context_->disk, place_.folder);
    if (header && header->uid_validity != image.uid_validity) usable = false;
  }
  {
    std::unique_lock lock(image_lock_);
    // What sessions have open is not this any more: rows may be others, and an empty mailbox may have been started
    // anew.
    const bool known = number(image_.uid_validity) != 0;
    if (image_.rows() != 0 || (known && (!usable || image.uid_validity != image_.uid_validity))) ++epoch_;
    image_ = usable ? std::move(image) : Image();
  }
  reload_ = false;
  check_torn_ = usable;
  if (usable) return {};
  return start_afresh(!loaded && loaded.error().kind == Error::Kind::syntax);
}

Status Mailbox::start_afresh(bool known_before) {
  Image image;
  auto& disk = *context_->disk;
  // Only its first line: the scan that follows takes in the others.
  auto header = read_uidlist_header(disk, place_.folder);
  // Where there is no list, or none that can be read, whoever makes it says what the UIDVALIDITY is.
  std::optional<Dotlock> list_lock;
  const auto bad = [&] { return !header && header.error().system == 0; };
  const auto none = [&] { return !header && header.error().kind == Error::Kind::not_found; };
  if (bad() || none()) {
    MAIL_TRY(taken, Dotlock::take(disk, place_.folder, std::string(kUidlistLock)));
    list_lock.emplace(std::move(taken));
    header = read_uidlist_header(disk, place_.folder);
  }
  const bool missing = bad() || none();
  std::string lines;
  if (none()) {
    if (const auto text = read_uidlist(disk, place_.folder, true)) {
      const auto list = parse_courier_uids(*text);
      if (list) header = list->header;
      if (list)
        for (const auto& entry : list->entries) append_uidlist_line(lines, entry.uid, {}, entry.base);
    }
  } else if (bad()) {
    log_event(LogLevel::warning, "uidlist-damaged",
              {{"mailbox", place_.folder.path()}, {"cause", header.error().text}});
  }
  if (!header && !missing) return tl::unexpected(header.error());
  if (header) {
    image.uid_validity = header->uid_validity;
    image.uid_next = header->uid_next;
    image.guid = header->guid;
  }
  const bool taken_over = known_before || header;
  if (number(image.uid_validity) == 0) image.uid_validity = place_.new_uid_validity();
  if (image.guid.empty()) image.guid = to_hex(random_octets(16));
  if (missing)
    MAIL_CHECK(write_uidlist(disk, place_.folder,
                             format_uidlist_header({image.uid_validity, image.uid_next, image.guid}) + lines,
                             context_->settings.flush));
  list_lock.reset();
  if (taken_over) {
    // A client may remember modseqs of the lost index: they must not come again with another meaning.
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(context_->clock->now().time_since_epoch()).count();
    image.modseq_highest = static_cast<ModSeq>(static_cast<std::uint64_t>(seconds) << 16);
  }
  image.history_from = image.modseq_highest;
  const auto names = read_keywords(disk, place_.folder);
  for (std::size_t i = 0; i < names.size(); ++i) image.apply(record::Keyword{static_cast<std::uint8_t>(i), names[i]});
  MAIL_CHECK(log_.rewrite(image));
  std::unique_lock lock(image_lock_);
  image_ = std::move(image);
  return {};
}

Result<Mailbox::Writing> Mailbox::begin() {
  std::unique_lock held(writer_);
  MAIL_TRY(lock, log_.lock());
  if (reload_) MAIL_CHECK(load());
  if (log_.behind()) {
    Result<bool> same = false;
    {
      std::unique_lock image(image_lock_);
      same = log_.catch_up(image_);
    }
    if (!same) return tl::unexpected(std::move(same).error());
    if (!*same) {
      Image probe;
      const auto there = log_.load(probe);
      if (there && probe.uid_validity == image_.uid_validity) {  // another process made the index anew
        // Or its files were made anew twice since our last look: what is open goes on where that can be.
        std::unique_lock image(image_lock_);
        if (!image_.go_on_as(probe)) {
          image_ = std::move(probe);
          ++epoch_;
        }
      } else if (there || (there.error().kind != Error::Kind::not_found && there.error().kind != Error::Kind::syntax)) {
        reload_ = true;
        return fail(Error::Kind::temporary, "the index changed; try again");
      } else {  // deleted or damaged under us: what is in memory is right
        log_event(LogLevel::warning, "index-rewritten", {{"mailbox", place_.folder.path()}});
        MAIL_CHECK(log_.rewrite(image_));
      }
    }
    notify(0);
  }
  return Writing(std::move(held), std::move(lock));
}

Status Mailbox::applied(Writing&, const Batch& batch) {
  if (batch.records.empty()) return {};
  std::string octets;
  const record::Durable durable{static_cast<Uid>(flushed_to_.load())};
  if (durable.uid > image_.durable) append_record(octets, durable);
  for (const auto& record : batch.records) append_record(octets, record);
  MAIL_CHECK(log_.append(octets));
  {
    std::unique_lock lock(image_lock_);
    image_.apply(durable);
    for (const auto& record : batch.records) image_.apply(record, batch.origin);
  }
  bool visible = false;
  for (const auto& record : batch.records)
    visible |= std::holds_alternative<record::Added>(record) || std::holds_alternative<record::FlagsChanged>(record) ||
               std::holds_alternative<record::Expunged>(record) || std::holds_alternative<record::Keyword>(record);
  if (visible) notify(batch.origin);
  if (has_pending()) pending();
  return {};
}

Applied Mailbox::apply(Writing& writing, const Batch& batch) {
  if (batch.expected && *batch.expected != image_.modseq_highest) return Applied::conflict;
  if (applied(writing, batch)) return Applied::committed;
  reload_ = true;
  return Applied::unknown;
}

void Mailbox::pending() {
  if (context_->pending) context_->pending(shared_from_this());
}

void Mailbox::look(Stamp& stamp, bool list_locked) const {
  struct stat found {};
  const auto nanoseconds = [&](const Directory& directory) {
    if (::fstat(directory.fd(), &found) != 0) return std::int64_t{0};
    return std::int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec;
  };
  stamp.new_time = nanoseconds(new_);
  stamp.cur_time = nanoseconds(cur_);
  stamp_uidlist(place_.folder, stamp, list_locked);
}

bool Mailbox::gone() const {
  struct stat found {};
  return ::fstat(cur_.fd(), &found) != 0 || found.st_nlink == 0;
}

bool Mailbox::stale() const {
  if (suspect_ || log_.behind()) return true;
  Stamp now;
  look(now);
  std::shared_lock lock(image_lock_);
  return !(now == image_.stamp);
}

Status Mailbox::refresh() {
  if (gone()) {
    std::unique_lock lock(image_lock_);
    ++epoch_;
    return fail(Error::Kind::not_found, concat({"the mailbox is gone: ", place_.name}));
  }
  MAIL_TRY(writing, begin());
  if (check_torn_) MAIL_CHECK(drop_torn(writing));
  return scan(writing);
}

/// The stamp after a change of ours to `cur`. Its new time is taken only where nobody else changed the folder before,
/// and the watcher would tell of one who did it meanwhile. The time of `new` stays: another look at it costs little.
Stamp Mailbox::stamp_after(const Stamp& before, bool list_locked) const {
  Stamp out = image_.stamp, now;
  look(now, list_locked);
  if (watched && before.cur_time == image_.stamp.cur_time) out.cur_time = now.cur_time;
  if (list_locked) out.list_time = now.list_time, out.list_octets = now.list_octets, out.list_inode = now.list_inode;
  return out;
}

Status Mailbox::restamp(Writing&, const Stamp& before, std::vector<Record>& records) {
  records.push_back(record::Stamped{stamp_after(before, false)});
  return {};
}

MailboxStatus Mailbox::status() const {
  std::shared_lock lock(image_lock_);
  MailboxStatus out;
  out.messages = image_.messages();
  out.unseen = image_.unseen();
  out.deleted = image_.deleted();
  out.uid_next = image_.uid_next;
  out.uid_validity = image_.uid_validity;
  out.highest_modseq = image_.modseq_highest;
  out.mailbox_id = image_.guid;
  for (RowNumber row = 0; row < image_.rows(); ++row) {
    if (image_.tombstone(row)) continue;
    const auto octets = image_.wire_octets(row) != 0 ? image_.wire_octets(row) : image_.file_octets(row);
    out.octets += octets;
    if (has(image_.flags(row), Flags::deleted)) out.deleted_octets += octets;
  }
  for (auto row = image_.lower_bound(image_.first_recent); row < image_.rows(); ++row)
    if (!image_.tombstone(row)) ++out.recent;
  return out;
}

void Mailbox::attach(SessionView& view) {
  std::lock_guard lock(views_mutex_);
  views_.insert(&view);
}

void Mailbox::detach(SessionView& view) {
  set_notify(view, {});
  std::lock_guard lock(views_mutex_);
  views_.erase(&view);
}

std::size_t Mailbox::views() const {
  std::lock_guard lock(views_mutex_);
  return views_.size();
}

void Mailbox::set_notify(SessionView& view, std::function<void()> changed) {
  std::lock_guard lock(notify_mutex_);
  if (changed)
    notify_[&view] = std::move(changed);
  else
    notify_.erase(&view);
}

void Mailbox::notify(std::uint64_t except) {
  {
    std::lock_guard lock(notify_mutex_);
    for (const auto& [view, changed] : notify_)
      if (except == 0 || view->origin() != except) changed();
  }
  if (place_.changed) place_.changed();
}

void Mailbox::disturbed(bool listing) {
  if (listing) suspect_ = true;
}

void Mailbox::expect(const Directory& directory, const std::string& name) {
  if (!watched) return;
  std::lock_guard lock(expected_mutex_);
  if (expected_.size() > 200000) expected_.clear();  // events were lost: at worst the folder is listed again
  expected_.insert(event_hash(&directory == &new_ ? 0 : 1, name));
}

bool Mailbox::expected_event(std::uint64_t hash) {
  std::lock_guard lock(expected_mutex_);
  const auto found = expected_.find(hash);
  if (found == expected_.end()) return false;
  expected_.erase(found);
  return true;
}

void Mailbox::forget_told() {
  // Under the unique image lock: what every view has been told of need not be kept.
  std::lock_guard lock(views_mutex_);
  std::uint64_t least = image_.notices_end();
  bool all_told = true;
  for (const auto* view : views_) {
    least = std::min(least, view->told_notices());
    all_told = all_told && view->knows_all(image_);
  }
  image_.forget_notices(least);
  const auto dead = image_.tombstones()->size();
  // Taking tombstones out costs a pass over the mailbox: only where they are many, or the mailbox is small.
  if (!all_told || dead == 0 || (image_.rows() > 20000 && dead < image_.rows() / 8)) return;
  // Nor while a change or a look at the disk is under way, which goes by row numbers: the next one does it.
  const std::unique_lock writer(writer_, std::try_to_lock);
  if (!writer) return;
  for (auto* view : views_) view->before_compact(image_);
  image_.compact();
  for (auto* view : views_) view->after_compact(image_);
}

Result<std::shared_ptr<View>> Mailbox::view(std::shared_ptr<Account> account, bool read_only) {
  Uid claimed_from{}, claimed_to{};
  {
    std::shared_lock lock(image_lock_);
    claimed_from = image_.first_recent;
    claimed_to = image_.uid_next;
  }
  if (!read_only && claimed_from < claimed_to) {
    MAIL_TRY(writing, begin());
    claimed_from = image_.first_recent;
    claimed_to = image_.uid_next;
    const auto claimed = applied(writing, Batch{{record::Numbers{claimed_to, claimed_to}}, {}, 0});
    if (!claimed && !no_room(claimed.error())) return tl::unexpected(claimed.error());
  }
  return std::make_shared<SessionView>(shared_from_this(), std::move(account), read_only,
                                       UidRange{claimed_from, claimed_to});
}

}  // namespace mail::store
