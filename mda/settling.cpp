// The end of a delivery in LocalQueue: what stands in mailboxes is made durable, then the spool lets go of it.
#include <iterator>

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

std::vector<MessageId> LocalQueue::Unflushed::ids() const {
  std::vector<MessageId> out;
  out.reserve(messages.size());
  for (const auto& message : messages) out.push_back(message.id);
  return out;
}

bool LocalQueue::Unflushed::full() const { return messages.size() >= kMostUnflushed || octets >= kMostUnflushedOctets; }

void LocalQueue::add_unflushed(Unflushed more) {
  std::unique_lock lock(unflushed_mutex_);
  const bool first = unflushed_.messages.empty();
  if (first) unflushed_.oldest = std::chrono::steady_clock::now();
  unflushed_.messages.insert(unflushed_.messages.end(), std::make_move_iterator(more.messages.begin()),
                             std::make_move_iterator(more.messages.end()));
  unflushed_.octets += more.octets;
  unflushed_.places.merge(std::move(more.places));
  if (!settling_thread_.joinable()) return;  // run_once() flushes at its end
  if (first || unflushed_.full()) unflushed_changed_.notify_all();
  // Where flushes are slower than the mail that comes in, the mail waits, in the spool.
  unflushed_changed_.wait(lock, [this] { return !unflushed_.full() || settling_ends_; });
}

void LocalQueue::settle_loop() {
  std::unique_lock lock(unflushed_mutex_);
  for (;;) {
    unflushed_changed_.wait(lock, [this] { return settling_ends_ || !unflushed_.messages.empty(); });
    if (unflushed_.messages.empty()) return;
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
  again(taken.ids(), flushed.error());
}

/// They stand in their mailboxes, but perhaps not on the disk: delivered once more, they find themselves.
void LocalQueue::again(std::span<const MessageId> ids, const Error& error) {
  log_event(LogLevel::error, "flush_failed", {{"messages", ids.size()}, {"text", error.text}});
  const auto when = clock_.now() + settings_.mda.retry_first;
  const std::scoped_lock lock(mutex_);
  for (const auto& id : ids) {
    repeated_.insert(id);
    waiting_.emplace(when, id);
  }
}

void LocalQueue::retire(const Unflushed& messages) {
  const auto ids = messages.ids();
  auto noted = done_.note_all(spool::Box::local, ids);
  if (noted) noted = done_.sync();
  if (!noted) return again(ids, noted.error());
  for (const auto& message : messages.messages) {
    auto removed = (message.own ? own_ : served_).remove_file(spool::Box::local, message.id, message.octets);
    if (removed && message.logged) removed = spool::remove_log(spool_, spool::Box::local, message.id);
    if (removed)
      forget(message.id);
    else
      again(std::span(&message.id, 1), removed.error());
  }
}

}  // namespace mail::mda
