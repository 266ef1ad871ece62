// The end of a delivery in LocalQueue: what stands in mailboxes is made durable, then the spool lets go of it.
#include "base/log.h"
#include "mda/local_queue.h"

namespace mail::mda {
namespace {

using namespace std::chrono_literals;
/// How long a delivered message may lie in spool/local. A flush costs nearly the same for one message and for
/// thousands, and while it runs the commits of `mta serve` wait for the same disk.
constexpr auto kFlushAfter = 1s;
constexpr std::size_t kMostUnflushed = 10000;                // messages; above, the flush begins at once
constexpr std::uint64_t kMostUnflushedOctets = 64ULL << 20;  // what one flush has to write, twice

}  // namespace

bool LocalQueue::Unflushed::full() const { return ids.size() >= kMostUnflushed || octets >= kMostUnflushedOctets; }

void LocalQueue::add_unflushed(Unflushed more) {
  std::unique_lock lock(unflushed_mutex_);
  if (unflushed_.ids.empty()) unflushed_.oldest = std::chrono::steady_clock::now();
  unflushed_.ids.insert(unflushed_.ids.end(), more.ids.begin(), more.ids.end());
  unflushed_.own.insert(unflushed_.own.end(), more.own.begin(), more.own.end());
  unflushed_.octets += more.octets;
  unflushed_.places.merge(std::move(more.places));
  if (!settling_thread_.joinable()) return;  // run_once() flushes at its end
  unflushed_changed_.notify_all();
  // Where flushes are slower than the mail that comes in, the mail waits, in the spool.
  unflushed_changed_.wait(lock, [this] { return !unflushed_.full() || settling_ends_; });
}

void LocalQueue::settle_loop() {
  std::unique_lock lock(unflushed_mutex_);
  for (;;) {
    unflushed_changed_.wait(lock, [this] { return settling_ends_ || !unflushed_.ids.empty(); });
    if (unflushed_.ids.empty()) return;
    const auto due = unflushed_.oldest + kFlushAfter;
    unflushed_changed_.wait_until(lock, due, [this] { return settling_ends_ || unflushed_.full(); });
    lock.unlock();
    flush_unflushed();
    lock.lock();
  }
}

void LocalQueue::flush_unflushed() {
  Unflushed taken;
  {
    const std::scoped_lock lock(unflushed_mutex_);
    taken = std::exchange(unflushed_, {});
  }
  unflushed_changed_.notify_all();
  const auto flushed = agent_.flush(taken.places);
  if (flushed) return retire(taken);
  again(taken.ids, flushed.error());
}

/// They stand in their mailboxes, but perhaps not on the disk: delivered once more, they find themselves.
void LocalQueue::again(const std::vector<MessageId>& ids, const Error& error) {
  log_event(LogLevel::error, "flush_failed", {{"messages", ids.size()}, {"text", error.text}});
  const auto when = clock_.now() + settings_.mda.retry_first;
  const std::scoped_lock lock(mutex_);
  for (const auto& id : ids) {
    repeated_.insert(id);
    waiting_.emplace(when, id);
  }
}

void LocalQueue::retire(const Unflushed& messages) {
  auto noted = done_.note_all(spool::Box::local, messages.ids);
  if (noted) noted = done_.sync();
  if (!noted) return again(messages.ids, noted.error());
  for (std::size_t i = 0; i < messages.ids.size(); ++i) {
    const auto& id = messages.ids[i];
    const auto removed = (messages.own[i] ? own_ : served_).remove(spool::Box::local, id);
    if (removed)
      forget(id);
    else
      again({id}, removed.error());
  }
}

}  // namespace mail::mda
