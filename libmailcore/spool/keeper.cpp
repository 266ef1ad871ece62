// The keeper of spool::Writer: prepares segments and frees those whose messages are delivered or synced as files.
#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "spool/writer_core.h"

namespace mail::spool {

namespace {
using namespace std::chrono_literals;
constexpr auto kLook = 500ms;  // how often closed segments are looked at
constexpr auto kSettle =
    20s;  // a closed segment's left-overs are synced after this, so that a start after a crash has little to do
constexpr std::size_t kFewFiles = 8;  // up to this many are synced one by one, more by one syncfs
}  // namespace

void WriterCore::keeper_loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (spare_wanted_ && !spare_) {
      lock.unlock();
      prepare_spare();
      lock.lock();
      continue;
    }
    keeper_wake_.wait_for(lock, kLook, [this] { return stopping_ || (spare_wanted_ && !spare_); });
    if (stopping_) break;
    const bool pressure = closed_.size() + 2 >= options_.most_segments;
    lock.unlock();
    free_segments(pressure, false);
    if (pool_) pool_->look();
    lock.lock();
  }
}

void WriterCore::prepare_spare() {
  std::unique_lock lock(mutex_);
  if (free_.empty() && closed_.size() + 2 > options_.most_segments) {
    lock.unlock();
    free_segments(true, false);
    lock.lock();
  }
  std::string reuse;
  if (!free_.empty()) {
    reuse = std::move(free_.back());
    free_.pop_back();
  }
  const bool too_many = reuse.empty() && closed_.size() + 2 > options_.most_segments;
  const auto generation = next_generation_++;
  lock.unlock();
  auto segment = too_many
                     ? Result<std::unique_ptr<Segment>>(
                           fail(Error::Kind::temporary, "the spool's journal is full: its messages cannot be synced"))
                     : Segment::prepare(spool_.disk(), lock_.directory, generation, options_.segment_octets, reuse);
  lock.lock();
  if (segment)
    spare_ = std::move(*segment);
  else
    spare_status_ = tl::unexpected(segment.error());
  spare_wanted_ = false;  // after a failure: until the next message asks
  lock.unlock();
  if (!segment) log_event(LogLevel::error, "journal-failed", {{"program", program_}, {"reason", segment.error().text}});
  spare_ready_.notify_all();
}

void WriterCore::free_segments(bool pressure, bool all) {
  for (std::size_t i = 0;;) {
    std::shared_ptr<Segment> segment;
    bool old = false;
    {
      const std::lock_guard lock(mutex_);
      if (i >= closed_.size()) break;
      segment = closed_[i].first;
      old = std::chrono::steady_clock::now() - closed_[i].second > kSettle;
    }
    const bool sync = all || old || (pressure && i == 0);
    if (!free_segment(*segment, sync)) {
      ++i;
      continue;
    }
    const std::lock_guard lock(mutex_);
    closed_.erase(closed_.begin() + static_cast<std::ptrdiff_t>(i));  // only this thread takes out; others append
    free_.push_back(numbered(kFreePrefix, segment->generation()));
    if (pressure && !all) break;
  }
}

bool WriterCore::free_segment(Segment& segment, bool sync) {
  if (segment.unnamed > 0) return false;
  const auto gone = [this](const LiveMessage& m) { return !spool_.exists(m.box, m.id); };
  // The newest first: mostly it is the last to go, and one look tells.
  while (!segment.messages.empty() && gone(segment.messages.back())) segment.messages.pop_back();
  if (sync) std::erase_if(segment.messages, gone);
  if (!segment.messages.empty()) {
    if (!sync || segment.stuck) return false;
    if (auto synced = sync_messages(segment.messages); !synced) {
      segment.stuck = true;
      log_event(LogLevel::error, "sync-failed",
                {{"program", program_}, {"reason", synced.error().text}, {"action", "the journal keeps the messages"}});
      return false;
    }
  }
  const auto freed = spool_.disk().rename(lock_.directory, numbered(kSegmentPrefix, segment.generation()),
                                          lock_.directory, numbered(kFreePrefix, segment.generation()));
  return freed.has_value();
}

Status WriterCore::sync_messages(const std::vector<LiveMessage>& messages) {
  auto& disk = spool_.disk();
  if (messages.size() > kFewFiles) return disk.sync_filesystem(spool_.root());
  for (const auto& message : messages) {
    auto file = disk.open(spool_.directory(message.box), message.id.text(), O_RDONLY);
    if (!file && file.error().kind == Error::Kind::not_found) continue;
    if (!file) return tl::unexpected(file.error());
    MAIL_CHECK(disk.sync(file->get()));
    MAIL_CHECK(disk.close(std::move(*file)));
    MAIL_CHECK(disk.sync_directory(spool_.directory(message.box)));
  }
  return {};
}

}  // namespace mail::spool
