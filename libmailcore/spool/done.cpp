#include "spool/done.h"

#include <fcntl.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "base/log.h"
#include "base/strings.h"
#include "spool/drop.h"
#include "spool/reader.h"
#include "spool/recovery.h"
#include "spool/writer_core.h"

namespace mail::spool {

namespace {

using namespace std::chrono_literals;
constexpr auto kSyncAfter = 20ms;  // notes that nobody waits for are synced together
constexpr auto kPruneEvery = 60s;

constexpr std::string_view kBoxLetters = "dqlhctj";  // in the order of Box

std::string checked(std::string_view line) {
  char sum[16];
  std::snprintf(sum, sizeof sum, " %08x\n", static_cast<unsigned>(XXH3_64bits(line.data(), line.size())));
  return concat({line, sum});
}

std::optional<DoneNote> parse_note(std::string_view line) {
  if (line.size() != kDoneLineOctets || checked(line.substr(0, kDoneLineOctets - 10)) != line) return std::nullopt;
  DoneNote note;
  const auto id = MessageId::parse(line.substr(0, 16));
  const auto box = kBoxLetters.find(line[17]);
  const auto recipient = parse_decimal<std::uint32_t>(line.substr(19, 10));
  if (!id || box == std::string_view::npos || !recipient) return std::nullopt;
  return DoneNote{*id, static_cast<Box>(box), *recipient, static_cast<RecipientState>(line[30])};
}

std::string key_of(Box box, const MessageId& id) { return concat({name_of(box), "/", id.text()}); }

std::atomic<std::uint32_t> pretended_boot{0};

}  // namespace

void pretend_boot(std::uint32_t number) { pretended_boot = number; }

std::uint32_t boot_number() {
  if (const auto pretended = pretended_boot.load(); pretended != 0) return pretended;
  const auto id = read_file_at("/proc/sys/kernel/random/boot_id", 4096);
  if (!id) return 0;
  return static_cast<std::uint32_t>(XXH3_64bits(id->data(), id->size()) % (kWholeMessage - 1)) + 1;
}

std::string print(const DoneNote& note) {
  char line[kDoneLineOctets];
  std::snprintf(line, sizeof line, "%s %c %010u %c", note.id.text().c_str(),
                kBoxLetters[static_cast<std::size_t>(note.box)], note.recipient, static_cast<char>(note.state));
  return checked(line);
}

std::vector<DoneNote> parse_done(std::string_view octets) {
  std::vector<DoneNote> notes;
  for (; octets.size() >= kDoneLineOctets; octets.remove_prefix(kDoneLineOctets)) {
    auto note = parse_note(octets.substr(0, kDoneLineOctets));
    if (!note) {
      if (octets[0] == '\0') break;
      continue;  // torn: the notes behind it may have reached the disk all the same
    }
    notes.push_back(std::move(*note));
  }
  return notes;
}

Result<DoneSet> DoneSet::load(const Spool& spool) {
  DoneSet set;
  auto& disk = spool.disk();
  MAIL_TRY(programs, disk.list(spool.directory(Box::journal)));
  for (const auto& program : programs) {
    auto directory = disk.open_directory_at(spool.directory(Box::journal), program);
    if (!directory) continue;
    MAIL_TRY(names, disk.list(*directory));
    std::ranges::sort(names);
    for (const auto& name : names) {
      if (!number_of(kDonePrefix, name)) continue;
      auto file = disk.open(*directory, name, O_RDONLY);
      if (!file && file.error().kind == Error::Kind::not_found) continue;  // pruned meanwhile: nothing live needs it
      if (!file) return tl::unexpected(file.error());
      MAIL_TRY(octets, read_file(file->get()));
      for (const auto& note : parse_done(octets)) set.add(note);
    }
  }
  return set;
}

void DoneSet::add(const DoneNote& note) {
  if (note.state == kPlaced) return;
  notes_[key_of(note.box, note.id)].push_back(note);
}

const std::vector<DoneNote>* DoneSet::find(Box box, const MessageId& id) const {
  const auto found = notes_.find(key_of(box, id));
  return found == notes_.end() ? nullptr : &found->second;
}

namespace {

class DoneFiles final : public DoneJournal {
 public:
  DoneFiles(const Spool& spool, JournalLock lock, std::uint64_t file_octets)
      : spool_(spool), lock_(std::move(lock)), file_octets_(file_octets) {}

  ~DoneFiles() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
    (void)sync();
  }

  Status start() {
    MAIL_TRY(names, spool_.disk().list(lock_.directory));
    std::ranges::sort(names);
    MAIL_TRY(live, live_segments(spool_));
    for (const auto& name : names) {
      const auto number = number_of(kDonePrefix, name);
      if (!number) continue;
      next_ = *number + 1;
      MAIL_TRY(file, spool_.disk().open(lock_.directory, name, O_RDONLY));
      MAIL_TRY(octets, read_file(file.get()));
      MAIL_CHECK(apply(parse_done(octets)));
      old_.push_back({name, live});
    }
    MAIL_CHECK(prune());
    thread_ = std::thread([this] { sync_loop(); });
    return {};
  }

  Status note(Box box, const MessageId& id, std::uint32_t recipient, RecipientState state) override {
    return write(print(DoneNote{id, box, recipient, state}), true);
  }

  Status note_all(Box box, std::span<const MessageId> ids) override {
    return write_all(box, ids, kWholeMessage, RecipientState::delivered, true);
  }

  Status note_placed(Box box, std::span<const MessageId> ids) override {
    return boot_ == 0 ? Status() : write_all(box, ids, boot_, kPlaced, false);
  }

  bool was_placed(Box box, const MessageId& id) const override { return placed_.contains(key_of(box, id)); }

  std::uint64_t noted() const override {
    const std::lock_guard lock(mutex_);
    return noted_;
  }

  std::uint64_t durable() const override {
    const std::lock_guard lock(mutex_);
    return noted_ - unsynced_.size();
  }

  Status sync() override {
    const std::lock_guard one_at_a_time(sync_mutex_);
    std::unique_lock lock(mutex_);
    if (unsynced_.empty()) return {};
    if (!file_) return next_file();  // an earlier attempt to begin one failed
    const auto file = file_;
    const auto upto = unsynced_.size();
    lock.unlock();
    auto synced = spool_.disk().sync_data(file->get());
    lock.lock();
    if (file != file_) return {};  // next_file() synced it, or wrote the notes anew
    if (synced) {
      unsynced_.erase(0, std::min(upto, unsynced_.size()));
      return {};
    }
    // The kernel may have dropped the pages: the notes go into another file.
    log_event(LogLevel::error, "sync-failed", {{"file", lock_.directory.path()}, {"reason", synced.error().text}});
    return next_file();
  }

 private:
  struct Old {
    std::string name;
    std::vector<std::string> needed_by;  // segments that were live when the file was closed
  };

  Status write_all(Box box, std::span<const MessageId> ids, std::uint32_t recipient, RecipientState state,
                   bool durable) {
    constexpr std::size_t kAtOnce = 1000;
    for (; !ids.empty(); ids = ids.subspan(std::min(kAtOnce, ids.size()))) {
      std::string lines;
      for (const auto& id : ids.first(std::min(kAtOnce, ids.size())))
        lines += print(DoneNote{id, box, recipient, state});
      MAIL_CHECK(write(lines, durable));
    }
    return {};
  }

  Status write(const std::string& lines, bool durable) {
    const std::lock_guard lock(mutex_);
    if (!file_ || offset_ + lines.size() > file_octets_) MAIL_CHECK(next_file());
    MAIL_CHECK(spool_.disk().pwrite(file_->get(), lines, offset_));
    offset_ += lines.size();
    if (!durable) return {};
    unsynced_.append(lines);
    noted_ += lines.size();
    if (!waiting_) {
      waiting_ = true;
      wake_.notify_all();
    }
    return {};
  }

  /// Brings files that came back with a power cut to what is known of them.
  Status apply(const std::vector<DoneNote>& notes) {
    for (const auto& note : notes) {
      if (!spool_.exists(note.box, note.id)) continue;
      if (note.state == kPlaced) {
        if (note.recipient == boot_) placed_.insert(key_of(note.box, note.id));
        continue;
      }
      if (note.box == Box::drop) {
        const auto found = spool_.disk().stat(spool_.directory(Box::drop), note.id.text());
        if (found && drop_fingerprint(*found) == note.recipient) MAIL_CHECK(remove(spool_, Box::drop, note.id));
      } else if (note.recipient == kWholeMessage) {
        MAIL_CHECK(remove(spool_, note.box, note.id));
      } else {
        auto message = StoredMessage::open(spool_, note.box, note.id);
        if (!message || note.recipient >= message->envelope().recipients.size()) continue;
        if (message->envelope().recipients[note.recipient].state != note.state)
          MAIL_CHECK(message->set_state(note.recipient, note.state));
      }
    }
    return {};
  }

  /// With the mutex held: closes the file, whose notes are durable then, and starts another.
  Status next_file() {
    if (file_) {
      MAIL_TRY(live, live_segments(spool_));
      old_.push_back({name_, std::move(live)});
      if (spool_.disk().sync_data(file_->get())) unsynced_.clear();
      file_.reset();
    }
    name_ = numbered(kDonePrefix, next_);
    MAIL_TRY(opened, spool_.disk().open(lock_.directory, name_, O_RDWR | O_CREAT | O_EXCL));
    ++next_;
    MAIL_CHECK(spool_.disk().allocate(opened.get(), 0, file_octets_));
    // Written blocks are synced without the file system's journal.
    MAIL_CHECK(spool_.disk().pwrite(opened.get(), std::string(file_octets_, '\0'), 0));
    MAIL_CHECK(spool_.disk().pwrite(opened.get(), unsynced_, 0));
    MAIL_CHECK(spool_.disk().sync(opened.get()));
    MAIL_CHECK(spool_.disk().sync_directory(lock_.directory));
    offset_ = unsynced_.size();
    unsynced_.clear();
    file_ = std::make_shared<UniqueFd>(std::move(opened));
    return {};
  }

  /// Removes files whose notes concern only messages that no segment holds any more.
  Status prune() {
    if (old_.empty()) return {};
    MAIL_TRY(live, live_segments(spool_));
    const auto unneeded = [&](const Old& old) {
      return std::ranges::none_of(old.needed_by,
                                  [&](const auto& name) { return std::ranges::find(live, name) != live.end(); });
    };
    if (std::ranges::none_of(old_, unneeded)) return {};
    MAIL_CHECK(spool_.disk().sync_filesystem(spool_.root()));  // recipients' states, removals, and freed segments
    for (const auto& old : old_)
      if (unneeded(old)) MAIL_CHECK(spool_.disk().unlink(lock_.directory, old.name));
    std::erase_if(old_, unneeded);
    return {};
  }

  void sync_loop() {
    std::unique_lock lock(mutex_);
    auto pruned = std::chrono::steady_clock::now();
    while (!stopping_) {
      wake_.wait_for(lock, kPruneEvery, [this] { return stopping_ || waiting_; });
      if (waiting_ && !stopping_) {
        wake_.wait_for(lock, kSyncAfter, [this] { return stopping_; });
        waiting_ = false;
        lock.unlock();
        (void)sync();
        lock.lock();
      }
      if (std::chrono::steady_clock::now() - pruned < kPruneEvery || stopping_) continue;
      pruned = std::chrono::steady_clock::now();
      if (auto done = prune(); !done) log_event(LogLevel::warning, "prune-failed", {{"reason", done.error().text}});
    }
  }

  const Spool& spool_;
  JournalLock lock_;
  std::uint64_t file_octets_;
  mutable std::mutex mutex_;
  std::mutex sync_mutex_;
  std::condition_variable wake_;
  std::shared_ptr<UniqueFd> file_;
  std::string name_;
  std::uint64_t offset_ = 0;
  std::uint32_t next_ = 1;
  std::uint64_t noted_ = 0;  // octets
  std::string unsynced_;     // notes since the last sync: written again where one fails
  std::vector<Old> old_;
  const std::uint32_t boot_ = boot_number();
  std::unordered_set<std::string> placed_;  // set at the start
  bool waiting_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<DoneJournal>> DoneJournal::open(const Spool& spool, std::string_view program,
                                                       std::uint64_t file_octets) {
  MAIL_TRY(lock, lock_journal(spool, program, kDoneLock));
  auto files = std::make_unique<DoneFiles>(spool, std::move(lock), file_octets);
  MAIL_CHECK(files->start());
  return std::unique_ptr<DoneJournal>(std::move(files));
}

}  // namespace mail::spool
