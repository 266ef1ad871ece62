// Messages coming into a mailbox: APPEND, COPY, MOVE.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/strings.h"
#include "store/dotlock.h"
#include "store/file_name.h"
#include "store/mailbox_core.h"
#include "store/mailbox_pass.h"
#include "store/parallel.h"
#include "store/staged_file.h"
#include "store/uidlist_file.h"

namespace mail::store {

Result<std::shared_ptr<StagedFile>> Mailbox::stage() {
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(context_->clock->now().time_since_epoch()).count();
  auto name = make_base(context_->settings.host, {}, micros);
  MAIL_TRY(fd, context_->disk->open(tmp_, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return std::make_shared<StagedFile>(*context_->disk, shared_from_this(), tmp_, std::move(name), std::move(fd));
}

namespace {

/// From so many messages on, a second thread makes names while this one moves files.
constexpr std::size_t kAheadFrom = 256;

}  // namespace

Result<UidSet> Mailbox::add(std::vector<Incoming>& incoming, const Leaving& leaving) {
  auto& disk = *context_->disk;
  MAIL_TRY(writing, begin());
  MAIL_TRY(lock, Dotlock::take(disk, place_.folder, std::string(kUidlistLock)));
  (void)lock;
  Stamp before;
  look(before, true);
  if (!same_list(before, image_.stamp)) {  // another program gave UIDs: those come first
    MAIL_CHECK(scan(writing, true));
    look(before, true);
  }
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(context_->clock->now().time_since_epoch()).count();
  std::vector<std::string> names(incoming.size());
  std::vector<AddedRow> rows(incoming.size());
  std::int64_t octets = 0;
  const auto prepare = [&](std::size_t i) {
    auto& file = incoming[i];
    if (file.row.base.empty()) {
      file.row.base = make_base(context_->settings.host, {}, micros);
      if (file.row.wire_octets != 0) append_sizes(file.row.base, file.row.file_octets, file.row.wire_octets);
    }
    names[i] = file.row.base;
    append_info(names[i], file.row.flags, file.row.keywords);
    expect(cur_, names[i]);
    if (leaving.expected) leaving.expected(file);
    octets += static_cast<std::int64_t>(file.row.file_octets);
    rows[i] = file.row;
  };
  std::size_t placed = 0;
  const auto undo = [&] {
    for (std::size_t i = 0; i < placed; ++i) {
      expect(cur_, names[i]);
      if (incoming[i].link || incoming[i].carried)
        (void)disk.unlink(cur_, names[i]);
      else
        (void)disk.rename(cur_, names[i], *incoming[i].from, incoming[i].from_name);
    }
  };
  Status moved;
  const auto place = [&](std::size_t i) {
    auto& file = incoming[i];
    const auto once = [&] {
      auto done = file.link ? disk.link(*file.from, file.from_name, cur_, names[i])
                            : disk.rename(*file.from, file.from_name, cur_, names[i]);
      if (done || done.error().system != EXDEV) return done;
      file.carried = true;
      return carry(file, names[i]);
    };
    moved = once();
    for (int attempt = 0; attempt < 10 && !moved && moved.error().kind == Error::Kind::not_found && leaving.renamed;
         ++attempt) {
      if (!leaving.renamed(file))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the name follows in a moment
      moved = once();
    }
    if (moved) ++placed;
    return moved.has_value();
  };
  if (!prepared_ahead(incoming.size(), context_->settings.parse_threads, kAheadFrom, prepare, place)) {
    undo();
    return tl::unexpected(std::move(moved).error());
  }
  flush_follows_ = true;
  auto uids = give_uids(rows, ListTail{{}, {}, {}, before.list_inode == 0});
  flush_follows_ = false;
  if (!uids) {
    undo();
    return uids;
  }
  std::vector<Record> records;
  records.push_back(record::Added{next_modseq(), std::move(rows)});
  records.push_back(record::Stamped{stamp_after(before, true)});
  const auto done = applied(writing, Batch{std::move(records), {}, 0});
  if (!done) {
    undo();
    suspect_ = true;
    return tl::unexpected(done.error());
  }
  if (place_.usage) place_.usage(octets, static_cast<std::int64_t>(incoming.size()));
  return uids;
}

Status Mailbox::carry(const Incoming& file, const std::string& to) {
  constexpr std::size_t kPiece = 128 * 1024;
  auto& disk = *context_->disk;
  MAIL_TRY(from, disk.open(*file.from, file.from_name, O_RDONLY));
  MAIL_TRY(fd, disk.open(tmp_, to, O_WRONLY | O_CREAT | O_EXCL, 0600));
  const auto copied = [&]() -> Status {
    std::string piece(kPiece, '\0');
    for (;;) {
      const auto octets = ::read(from.get(), piece.data(), piece.size());
      if (octets < 0) return fail_errno("reading a message", file.from_name);
      if (octets == 0) break;
      MAIL_CHECK(disk.write(fd.get(), std::string_view(piece).substr(0, static_cast<std::size_t>(octets))));
    }
    const timespec times[2] = {{file.row.internal_date, 0}, {file.row.internal_date, 0}};
    if (::futimens(fd.get(), times) != 0) return fail_errno("setting the time of a message");
    if (context_->settings.flush) MAIL_CHECK(disk.sync(fd.get()));
    return disk.rename(tmp_, to, cur_, to);
  }();
  if (!copied) (void)disk.unlink(tmp_, to);
  return copied;
}

Status Mailbox::flush(const FlushSet& more) {
  FlushSet set = more;
  set.directories.push_back(&cur_);
  set.directories.push_back(&place_.folder);
  // The list too, where single files are flushed rather than the file system: a UID that was told never comes again.
  auto list = context_->disk->open(place_.folder, std::string(kUidlist), O_RDONLY);
  if (!list) return tl::unexpected(std::move(list).error());
  set.files.push_back(list->get());
  std::uint32_t last = 0;
  {
    std::shared_lock lock(image_lock_);
    if (image_.rows() > 0) last = number(image_.uid(image_.rows() - 1));
  }
  bool everything = false;
  MAIL_CHECK(context_->flusher->flush(set, &everything));
  if (everything) {
    auto known = flushed_to_.load();
    while (known < last && !flushed_to_.compare_exchange_weak(known, last)) {
    }
  }
  // Where the index is on another file system, its log needs a flush of its own: modseqs that were told must not come
  // again.
  if (place_.index && context_->settings.flush) return log_.flush();
  return {};
}

Result<CopyOutcome> Mailbox::transfer(const UidSet& uids, Mailbox& to, bool move, const Carrying& how) {
  const Changing from_here(*this), to_there(to);
  CopyOutcome out;
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(context_->clock->now().time_since_epoch()).count();
  std::vector<Incoming> incoming;
  std::vector<std::vector<std::string>> keywords;
  std::vector<std::string> names;
  const auto gather = [&] {
    incoming.clear();
    out.source = {};
    std::shared_lock lock(image_lock_);
    names = image_.keyword_names();
    std::size_t most = 0;
    for (const auto& range : uids.ranges())
      most += image_.lower_bound(range.last) + 1 - image_.lower_bound(range.first);
    incoming.reserve(most);
    for (const auto& range : uids.ranges()) {
      for (auto row = image_.lower_bound(range.first); row < image_.rows() && image_.uid(row) <= range.last; ++row) {
        if (image_.tombstone(row)) continue;
        Incoming file;
        file.from = image_.in_new(row) ? &new_ : &cur_;
        file.from_name = image_.file_name(row);
        file.link = !move;
        file.source = image_.uid(row);
        file.row.flags = image_.flags(row) & how.flags;
        file.row.keywords = how.keywords ? image_.keywords(row) : KeywordBits{0};
        file.row.internal_date = image_.internal_date(row);
        file.row.save_date = micros / 1000000;
        file.row.file_octets = image_.file_octets(row);
        file.row.wire_octets = image_.wire_octets(row);
        // These are numbers in caches that belong to the account.
        file.row.summary = how.elsewhere ? 0 : image_.summary(row);
        file.row.filter = how.elsewhere ? 0 : image_.filter(row);
        incoming.push_back(std::move(file));
        out.source.add(image_.uid(row));
      }
    }
  };
  gather();
  out.uid_validity = to.image_.uid_validity;
  if (incoming.empty()) return out;
  // Keywords have other numbers there.
  KeywordBits used = 0;
  for (const auto& file : incoming) used |= file.row.keywords;
  std::array<KeywordBits, kKeywordsMost> there{};
  if (used != 0) {
    MAIL_TRY(writing, to.begin());
    for (std::size_t bit = 0; bit < names.size(); ++bit) {
      if (((used >> bit) & 1) == 0 || names[bit].empty()) continue;
      if (auto bits = to.keyword_bits(writing, {names[bit]}, true))
        there[bit] = *bits;  // too many there: this one is lost, the message is not
    }
  }
  const auto translate = [&] {
    for (auto& file : incoming) {
      KeywordBits bits = 0;
      for (std::size_t bit = 0; bit < kKeywordsMost; ++bit)
        if (((file.row.keywords >> bit) & 1) != 0) bits |= there[bit];
      file.row.keywords = bits;
    }
  };
  if (used != 0) translate();
  // Flags may be on their way into the file names while we move: the name is asked for again.
  Leaving leaving;
  leaving.renamed = [&](Incoming& file) {
    std::shared_lock lock(image_lock_);
    const auto row = image_.find(file.source);
    if (!row || image_.tombstone(*row)) return false;
    const auto* directory = image_.in_new(*row) ? &new_ : &cur_;
    auto name = image_.file_name(*row);
    if (directory == file.from && name == file.from_name) return false;
    file.from = directory;
    file.from_name = std::move(name);
    return true;
  };
  // What goes from here is told by this MOVE alone: not by the watcher, nor by a look at the folder meanwhile.
  if (move) ++moving_;
  std::unique_ptr<std::atomic<int>, void (*)(std::atomic<int>*)> moves(move ? &moving_ : nullptr,
                                                                       [](std::atomic<int>* count) { --*count; });
  Stamp before;
  if (move) look(before);
  if (move) leaving.expected = [&](const Incoming& file) { expect(*file.from, file.from_name); };
  auto added = to.add(incoming, leaving);
  if (!added && added.error().kind == Error::Kind::not_found) {
    // A file had another name by then (another program, or flags written behind): look, and once more.
    moves.reset();  // a look is what is needed now
    suspect_ = true;
    MAIL_CHECK(refresh());
    gather();
    if (used != 0) translate();
    added = to.add(incoming, leaving);
  }
  if (!added) return tl::unexpected(std::move(added).error());
  out.destination = std::move(*added);
  auto flushed = to.flush();
  const auto carried = static_cast<std::size_t>(std::ranges::count_if(incoming, &Incoming::carried));
  const bool all_here_still = !move || carried == incoming.size();  // so they may go from there
  if (!flushed && (!move || carried > 0)) {
    if (all_here_still) to.withdraw(out.destination);  // not durable, so it must not be there
    return tl::unexpected(std::move(flushed).error());
  }
  if (move)
    if (const auto left = leave(incoming, out.source, before); !left) {
      if (all_here_still) {
        to.withdraw(out.destination);
        return tl::unexpected(left.error());
      }
      suspect_ = true;  // they are in the other folder, which the next look at this one finds
    }
  MAIL_CHECK(flushed);
  return out;
}

Status Mailbox::leave(const std::vector<Incoming>& moved, const UidSet& uids, const Stamp& before) {
  MAIL_TRY(writing, begin());
  std::int64_t octets = 0;
  for (const auto& file : moved) octets += static_cast<std::int64_t>(file.row.file_octets);
  std::vector<Record> records{record::Expunged{next_modseq(), false, uids}};
  MAIL_CHECK(restamp(writing, before, records));
  MAIL_CHECK(applied(writing, Batch{std::move(records), {}, 0}));
  // Not before it is durable on the other file system: nothing orders the two.
  for (const auto& file : moved)
    if (file.carried) (void)context_->disk->unlink(*file.from, file.from_name);
  if (place_.usage) place_.usage(-octets, -static_cast<std::int64_t>(moved.size()));
  return {};
}

Result<CopyOutcome> Mailbox::transfer_within(const UidSet& uids, const Carrying& how) {
  MAIL_TRY(out, transfer(uids, *this, false, how));
  withdraw(out.source);
  return std::move(out);
}

void Mailbox::withdraw(const UidSet& uids) {
  auto writing = begin();
  if (!writing || uids.empty()) return;
  std::int64_t octets = 0, messages = 0;
  for (const auto& range : uids.ranges())
    for (auto row = image_.lower_bound(range.first); row < image_.rows() && image_.uid(row) <= range.last; ++row)
      if (!image_.tombstone(row)) octets += static_cast<std::int64_t>(image_.file_octets(row)), ++messages;
  if (place_.usage) place_.usage(-octets, -messages);
  (void)applied(*writing, Batch{{record::Expunged{next_modseq(), true, uids}}, {}, 0});
}

std::optional<Uid> Mailbox::find_id(std::string_view id) const {
  std::shared_lock lock(image_lock_);
  for (RowNumber row = 0; row < image_.rows(); ++row)
    if (!image_.tombstone(row) && id_of(image_.base(row)) == id) return image_.uid(row);
  return std::nullopt;
}

UidValidity Mailbox::status_uid_validity() const {
  std::shared_lock lock(image_lock_);
  return image_.uid_validity;
}

std::uint64_t Mailbox::file_octets() const {
  std::shared_lock lock(image_lock_);
  return image_.octets_total();
}

bool Mailbox::has_recent() const {
  std::shared_lock lock(image_lock_);
  return image_.first_recent < image_.uid_next;
}

}  // namespace mail::store
