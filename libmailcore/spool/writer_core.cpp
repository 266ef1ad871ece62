#include "spool/writer_core.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"

namespace mail::spool {

namespace {
using namespace std::chrono_literals;
constexpr std::uint64_t kMostBatchOctets = 4U << 20;  // bounds the journal thread's memory and a batch's latency
constexpr std::size_t kMostUnnamed = 1000;            // more than these: who brings them gives the names
/// Files that come one upon the other are named together: their readers wake up once. The first one waits for nothing.
constexpr auto kNameTogether = 1ms;
constexpr auto kNameAgain = 1s;
}  // namespace

Record Pending::record() const {
  Record record;
  record.promoted = large;
  record.aborted = aborted;
  for (const auto& part : parts) record.entries.push_back({part.box, id, part.header});
  record.content = content;
  return record;
}

void Pending::fail_with(const Error& error) {
  const std::lock_guard lock(mutex);
  if (status) status = tl::unexpected(error);
}

void Pending::tell() {
  for (auto* callback : {&durable, &done})
    if (*callback) std::exchange(*callback, nullptr)(status);
}

Result<JournalLock> lock_journal(const Spool& spool, std::string_view program, std::string_view lock_name) {
  auto& disk = spool.disk();
  const std::string name(program);
  auto directory = disk.open_directory_at(spool.directory(Box::journal), name);
  if (!directory && directory.error().kind == Error::Kind::not_found) {
    // Another process of ours may make it at the same moment.
    auto made = disk.make_directory(spool.directory(Box::journal), name);
    if (!made && made.error().system != EEXIST) return tl::unexpected(made.error());
    MAIL_CHECK(disk.sync_directory(spool.directory(Box::journal)));
    directory = disk.open_directory_at(spool.directory(Box::journal), name);
  }
  if (!directory) return tl::unexpected(directory.error());
  MAIL_TRY(file, disk.open(*directory, std::string(lock_name), O_RDWR | O_CREAT));
  // Somebody may just be asking whether it is locked (spool/nudge.h).
  constexpr int kMostTries = 10;
  int locked = ::flock(file.get(), LOCK_EX | LOCK_NB);
  for (int tries = 1; locked != 0 && errno == EWOULDBLOCK && tries < kMostTries; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    locked = ::flock(file.get(), LOCK_EX | LOCK_NB);
  }
  if (locked != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("locking", directory->path());
    return fail(Error::Kind::refused, concat({"another ", program, " is using the spool ", spool.path(), " (",
                                              directory->path(), "/", lock_name, " is locked): stop it first"}));
  }
  return JournalLock{std::move(*directory), std::move(file)};
}

WriterCore::WriterCore(const Spool& spool, std::string program, WriterOptions options, JournalLock lock,
                       std::uint32_t next_generation, std::vector<std::string> free_segments)
    : spool_(spool),
      program_(std::move(program)),
      options_(options),
      lock_(std::move(lock)),
      next_generation_(next_generation),
      free_(std::move(free_segments)) {
  if (auto pool = Pool::open(spool_.disk(), lock_.directory)) pool_ = std::move(*pool);
  journal_thread_ = std::thread([this] { journal_loop(); });
  naming_thread_ = std::thread([this] { naming_loop(); });
  keeper_thread_ = std::thread([this] { keeper_loop(); });
  for (unsigned i = 0; i < std::max(1U, options_.sync_threads); ++i)
    sync_threads_.emplace_back([this] { sync_loop(); });
}

WriterCore::~WriterCore() {
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    naming_work_.notify_all();
    idle_.wait(lock, [this] { return under_way_ == 0 && sync_jobs_.empty(); });
    stopping_ = true;
  }
  work_.notify_all();
  naming_work_.notify_all();
  keeper_wake_.notify_all();
  sync_work_.notify_all();
  journal_thread_.join();
  naming_thread_.join();
  keeper_thread_.join();
  for (auto& thread : sync_threads_) thread.join();
  for (auto* segment : {&current_, &spare_})
    if (*segment) closed_.emplace_back(std::move(*segment), std::chrono::steady_clock::now());
  free_segments(true, true);
}

void WriterCore::run_blocking(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    ++under_way_;  // until commit() of what the job makes
    sync_jobs_.push_back(std::move(job));
  }
  sync_work_.notify_one();
}

void WriterCore::sync_loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    sync_work_.wait(lock, [this] { return stopping_ || !sync_jobs_.empty(); });
    if (sync_jobs_.empty()) return;
    auto job = std::move(sync_jobs_.front());
    sync_jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
    --under_way_;
    idle_.notify_all();
  }
}

void WriterCore::commit(std::shared_ptr<Pending> pending) {
  if (!pending->status) {  // a large file that could not be finished
    discard(*pending);
    return pending->tell();
  }
  {
    const std::lock_guard lock(mutex_);
    ++under_way_;
    queue_.push_back(pending);
  }
  work_.notify_one();
  if (pending->large || pending->aborted) return;
  write_file(*pending);  // while the journal thread syncs
  half_done(pending);
}

/// A file of the pool for the part, at its start and not longer than `octets`; nothing: a new one is made.
Result<UniqueFd> WriterCore::open_pooled(Pending::Part& part, std::uint64_t octets) {
  auto& disk = spool_.disk();
  if (pool_) part.pooled = pool_->take(octets);
  if (part.pooled.empty()) return UniqueFd();
  auto file = disk.open(pool_->directory(), part.pooled, O_WRONLY);
  struct stat found {};
  const bool known = file && ::fstat(file->get(), &found) == 0;
  if (known && S_ISREG(found.st_mode) && found.st_nlink == 1) {
    if (static_cast<std::uint64_t>(found.st_size) > octets) MAIL_CHECK(disk.truncate(file->get(), octets));
    return file;
  }
  // An operator has linked it elsewhere: that is not ours to overwrite.
  if (known) (void)disk.unlink(pool_->directory(), part.pooled);
  pool_->gone(std::exchange(part.pooled, {}));
  return UniqueFd();
}

Status WriterCore::write_part(const Pending& pending, Pending::Part& part) {
  auto& disk = spool_.disk();
  const bool first = &part == &pending.parts.front();
  MAIL_TRY(file, open_pooled(part, first ? pending.image.size() : part.header.size() + pending.content.size()));
  if (!file) {
    MAIL_TRY(made, disk.open(spool_.directory(Box::tmp), part.temporary_name, O_WRONLY | O_CREAT | O_EXCL));
    file = std::move(made);
  }
  MAIL_CHECK(disk.write(file.get(), first ? std::string_view(pending.image) : part.header));
  if (!first) MAIL_CHECK(disk.write(file.get(), pending.content));
  return disk.close(std::move(file));
}

void WriterCore::write_file(Pending& pending) {
  for (auto& part : pending.parts)
    if (auto written = write_part(pending, part); !written) return pending.fail_with(written.error());
}

/// Where the part's file is before it has its name in the box.
std::pair<const Directory&, const std::string&> WriterCore::place_of(const Pending::Part& part) const {
  if (part.pooled.empty()) return {spool_.directory(Box::tmp), part.temporary_name};
  return {pool_->directory(), part.pooled};
}

void WriterCore::half_done(const std::shared_ptr<Pending>& pending) {
  if (--pending->halves > 0 || name_later(pending)) return;
  if (!pending->aborted) finish(*pending);
  end(pending);
}

/// Tells who waits, and leaves the names to their thread. @return false where they are to be given now.
bool WriterCore::name_later(const std::shared_ptr<Pending>& pending) {
  if (!pending->durable || !pending->status) return false;
  {
    const std::lock_guard lock(mutex_);
    if (naming_fails_ || ending_ || to_name_.size() >= kMostUnnamed) return false;
  }
  std::exchange(pending->durable, nullptr)({});
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    to_name_.push_back(pending);
    wake = std::exchange(naming_sleeps_, false);
  }
  if (wake) naming_work_.notify_one();
  return true;
}

void WriterCore::naming_loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    naming_sleeps_ = to_name_.empty();
    naming_work_.wait(lock, [this] { return stopping_ || !to_name_.empty(); });
    naming_sleeps_ = false;
    if (to_name_.empty()) return;
    auto batch = std::exchange(to_name_, {});
    lock.unlock();
    std::erase_if(batch, [this](const auto& pending) {
      if (!name_again(*pending)) return false;
      end(pending);
      return true;
    });
    lock.lock();
    naming_fails_ = !batch.empty();
    if (naming_fails_ && ending_) {
      under_way_ -= batch.size();
      idle_.notify_all();
      continue;
    }
    to_name_.insert(to_name_.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
    naming_work_.wait_for(lock, naming_fails_ ? std::chrono::milliseconds(kNameAgain) : kNameTogether,
                          [this] { return ending_; });
  }
}

/// Names what has no name yet. @return false where something is left.
bool WriterCore::name_again(Pending& pending) {
  for (auto& part : pending.parts) {
    if (part.named) continue;
    const auto named = name_part(pending, part);
    if (named) continue;
    if (std::exchange(pending.status, tl::unexpected(named.error())))  // said once
      log_event(
          LogLevel::error, "naming-failed",
          {{"id", pending.id.text()}, {"reason", named.error().text}, {"action", "the journal has it, trying on"}});
    if (named.error().kind == Error::Kind::not_found && !pending.large) {  // somebody removed the file: a new one
      if (!part.pooled.empty()) pool_->gone(std::exchange(part.pooled, {}));
      (void)write_part(pending, part);
    }
    return false;
  }
  pending.status = {};
  return true;
}

Status WriterCore::name_part(const Pending& pending, Pending::Part& part) {
  const auto [directory, name] = place_of(part);
  MAIL_CHECK(spool_.disk().rename(directory, name, spool_.directory(part.box), pending.id.text()));
  part.named = true;
  if (!part.pooled.empty()) pool_->gone(part.pooled);
  return {};
}

void WriterCore::end(const std::shared_ptr<Pending>& pending) {
  if (pending->segment) --pending->segment->unnamed;
  pending->tell();
  {
    const std::lock_guard lock(mutex_);
    --under_way_;
    if (under_way_ == 0) idle_.notify_all();
  }
}

void WriterCore::finish(Pending& pending) {
  for (auto& part : pending.parts) {
    if (!pending.status) break;
    if (auto named = name_part(pending, part); !named) pending.fail_with(named.error());
  }
  if (pending.status) return;
  for (auto& part : pending.parts) {
    if (!part.named) continue;
    (void)spool_.disk().unlink(spool_.directory(part.box), pending.id.text());
    part.pooled.clear();
  }
  discard(pending);
  if (pending.recorded) take_back(pending);
}

void WriterCore::discard(Pending& pending) {
  for (auto& part : pending.parts) {
    if (part.pooled.empty())
      (void)spool_.disk().unlink(spool_.directory(Box::tmp), part.temporary_name);
    else
      pool_->give_back(std::exchange(part.pooled, {}));
  }
}

void WriterCore::take_back(const Pending& pending) {
  auto abort = std::make_shared<Pending>();
  abort->id = pending.id;
  abort->aborted = true;
  abort->halves = 1;
  for (const auto& part : pending.parts) abort->parts.push_back({part.box, {}, {}});
  commit(std::move(abort));
}

void WriterCore::journal_loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::vector<std::shared_ptr<Pending>> batch;
    std::uint64_t octets = 0;
    while (!queue_.empty() && octets < kMostBatchOctets) {
      octets += record_octets(queue_.front()->record());
      batch.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    lock.unlock();
    write_batch(std::move(batch));
    lock.lock();
  }
}

void WriterCore::write_batch(std::vector<std::shared_ptr<Pending>> batch) {
  // Names of large files must be durable before a record that promises them.
  if (std::ranges::any_of(batch, [](const auto& p) { return p->large; })) {
    if (auto synced = spool_.disk().sync_directory(spool_.directory(Box::tmp)); !synced)
      return fail_batch(batch, synced.error());
  }
  std::vector<std::shared_ptr<Pending>> together;
  std::string octets;
  for (auto& pending : batch) {
    const auto record = pending->record();
    const auto needed = record_octets(record);
    if (current_ && !together.empty() && !current_->has_room(octets.size() + needed + kBlock))
      write_records(together, octets);
    if (auto ready = ensure_segment(octets.size() + needed + kBlock); !ready) {
      fail_batch({pending}, ready.error());
      continue;
    }
    append_record(octets, current_->generation(), record);
    together.push_back(std::move(pending));
  }
  write_records(together, octets);
}

void WriterCore::write_records(std::vector<std::shared_ptr<Pending>>& batch, std::string& octets) {
  if (batch.empty()) return;
  for (const auto& pending : batch) {
    if (pending->aborted) continue;
    ++current_->unnamed;
    pending->segment = current_;
    for (const auto& part : pending->parts) current_->messages.push_back({pending->id, part.box});
  }
  auto written = current_->write_batch(spool_.disk(), octets);
  if (written) {
    for (const auto& pending : batch) {
      pending->recorded = true;
      half_done(pending);
    }
  } else {
    log_event(LogLevel::error, "journal-failed", {{"program", program_}, {"reason", written.error().text}});
    fail_batch(batch, written.error());
  }
  batch.clear();
  octets.clear();
}

void WriterCore::fail_batch(const std::vector<std::shared_ptr<Pending>>& batch, const Error& error) {
  for (const auto& pending : batch) {
    pending->fail_with(error);
    half_done(pending);
  }
}

Status WriterCore::ensure_segment(std::uint64_t octets) {
  if (current_ && current_->has_room(octets)) return {};
  if (octets > options_.segment_octets)
    return fail(Error::Kind::permanent, "the envelope is larger than a journal segment");
  std::unique_lock lock(mutex_);
  if (current_) closed_.emplace_back(std::move(current_), std::chrono::steady_clock::now());
  if (!spare_) {
    spare_wanted_ = true;
    spare_status_ = {};
    keeper_wake_.notify_one();
    spare_ready_.wait(lock, [this] { return spare_ || !spare_status_; });
  }
  if (!spare_) return spare_status_;
  current_ = std::move(spare_);
  spare_wanted_ = true;
  keeper_wake_.notify_one();
  return {};
}

}  // namespace mail::spool
