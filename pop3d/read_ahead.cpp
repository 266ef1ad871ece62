#include "pop3d/read_ahead.h"

#include <algorithm>

#include "pop3/server_session.h"

namespace mail::pop3d {

ReadAhead::ReadAhead(net::WorkerPool& workers, net::Loop& loop, std::shared_ptr<store::View> view,
                     std::shared_ptr<const Snapshot> snapshot)
    : workers_(workers), loop_(loop), view_(std::move(view)), snapshot_(std::move(snapshot)) {}

void ReadAhead::get(std::size_t index, bool whole, Done done) {
  run_ = last_ != SIZE_MAX && index == last_ + 1 ? run_ + 1 : 0;
  last_ = index;
  whole_ = whole;
  auto ready = take_ready(index);
  if (!ready && !fetching_) ready = from_memory(index);
  if (ready) {
    top_up();
    return done(std::move(*ready));
  }
  wanted_ = index;
  done_ = std::move(done);
  if (!fetching_) fetch(index, 1 + std::min(run_, kMessagesAhead));
}

ReadAhead::Fetched ReadAhead::made(Opened file, bool whole) {
  if (whole && file && (*file)->raw().size() <= kBodyOctets)
    if (auto body = pop3::ServerSession::whole_body((*file)->raw())) return {nullptr, std::move(*body)};
  return {std::move(file)};
}

/// What the kernel has in memory costs less than to ask a worker for it.
std::optional<ReadAhead::Fetched> ReadAhead::from_memory(std::size_t index) {
  if (snapshot_->octets(index) > kBodyOctets) return std::nullopt;
  auto file = view_->cached_message(snapshot_->uid(index), kBodyOctets);
  in_memory_ = file != nullptr;
  if (!in_memory_) return std::nullopt;
  return made(std::move(file), whole_);
}

/// The message, where it lies here in the form that is wanted; what was ahead of it is dropped.
std::optional<ReadAhead::Fetched> ReadAhead::take_ready(std::size_t index) {
  std::optional<Fetched> out;
  while (!ready_.empty() && !out) {
    Item& item = ready_.front();
    if (item.index == index && (whole_ || item.message.body.empty())) out = std::move(item.message);
    octets_ready_ -= snapshot_->octets(item.index);
    ready_.pop_front();
  }
  return out;
}

/// Opens `count` messages, fewer where they are large. A view is used by one thread at a time.
void ReadAhead::fetch(std::size_t first, std::size_t count) {
  std::size_t end = first;
  std::uint64_t octets = octets_ready_;
  while (end < snapshot_->count() && end < first + count &&
         (end == first || octets + snapshot_->octets(end) <= kOctetsAhead))
    octets += snapshot_->octets(end++);
  fetching_ = true;
  fetch_end_ = end;
  workers_.submit(
      loop_,
      [view = view_, snapshot = snapshot_, first, end, whole = whole_] {
        std::vector<Item> items;
        items.reserve(end - first);
        for (std::size_t i = first; i < end; ++i)
          items.push_back({i, made(view->open_message(snapshot->uid(i)), whole)});
        return items;
      },
      alive_.guard([this](std::vector<Item> items) { arrived(std::move(items)); }));
}

void ReadAhead::arrived(std::vector<Item> items) {
  fetching_ = false;
  for (Item& item : items) {
    octets_ready_ += snapshot_->octets(item.index);
    ready_.push_back(std::move(item));
  }
  if (!done_) return;
  const Done done = std::exchange(done_, nullptr);
  auto ready = take_ready(wanted_);
  if (!ready) {  // a client that jumped, or wants another form, while another message was opened
    done_ = done;
    return fetch(wanted_, 1);
  }
  top_up();
  done(std::move(*ready));
}

/// Fetches more once half of what may lie here is gone: the client of the next message does not wait for a thread to
/// wake up. What is in memory is made one by one, while the client takes what was sent.
void ReadAhead::top_up() {
  if (fetching_ || run_ == 0) return;
  const std::size_t next = ready_.empty() ? last_ + 1 : ready_.back().index + 1;
  if (next >= snapshot_->count()) return;
  if (in_memory_) {
    if (!ready_.empty() || std::exchange(making_, true)) return;
    return loop_.defer(alive_.guard([this] { make_next(); }));
  }
  if (octets_ready_ > kOctetsAhead / 2 || ready_.size() > ahead() / 2) return;
  if (!make_ready(next)) fetch(next, ahead());
}

std::size_t ReadAhead::ahead() const { return std::min(2 * run_, kMessagesAhead); }

bool ReadAhead::make_ready(std::size_t index) {
  auto message = from_memory(index);
  if (!message) return false;
  octets_ready_ += snapshot_->octets(index);
  ready_.push_back({index, std::move(*message)});
  return true;
}

void ReadAhead::make_next() {
  making_ = false;
  const auto next = last_ + 1;
  if (fetching_ || !ready_.empty() || next >= snapshot_->count() || make_ready(next)) return;
  fetch(next, in_memory_ ? 1 : ahead());  // a large one; or the end of what is in memory
}

}  // namespace mail::pop3d
