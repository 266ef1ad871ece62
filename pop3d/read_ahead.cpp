#include "pop3d/read_ahead.h"

#include <algorithm>

namespace mail::pop3d {

ReadAhead::ReadAhead(net::WorkerPool& workers, net::Loop& loop, std::shared_ptr<store::View> view,
                     std::shared_ptr<const Snapshot> snapshot)
    : workers_(workers), loop_(loop), view_(std::move(view)), snapshot_(std::move(snapshot)) {}

void ReadAhead::get(std::size_t index, Done done) {
  run_ = last_ != SIZE_MAX && index == last_ + 1 ? run_ + 1 : 0;
  last_ = index;
  while (!ready_.empty() && ready_.front().index != index) {
    octets_ready_ -= snapshot_->octets(ready_.front().index);
    ready_.pop_front();
  }
  if (!ready_.empty()) {
    Opened file = std::move(ready_.front().file);
    octets_ready_ -= snapshot_->octets(index);
    ready_.pop_front();
    top_up();
    return done(std::move(file));
  }
  wanted_ = index;
  done_ = std::move(done);
  if (!fetching_) fetch(index, 1 + std::min(run_, kMessagesAhead));
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
      [view = view_, snapshot = snapshot_, first, end] {
        std::vector<Item> items;
        items.reserve(end - first);
        for (std::size_t i = first; i < end; ++i) items.push_back({i, view->open_message(snapshot->uid(i))});
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
  while (!ready_.empty() && ready_.front().index != wanted_) {
    octets_ready_ -= snapshot_->octets(ready_.front().index);
    ready_.pop_front();
  }
  if (ready_.empty()) {  // a client that jumped while another message was opened
    done_ = done;
    return fetch(wanted_, 1);
  }
  Opened file = std::move(ready_.front().file);
  octets_ready_ -= snapshot_->octets(wanted_);
  ready_.pop_front();
  top_up();
  done(std::move(file));
}

/// Fetches more once half of what may lie here is gone: the client of the next message does not wait for a thread to
/// wake up.
void ReadAhead::top_up() {
  if (fetching_ || run_ == 0) return;
  const std::size_t next = ready_.empty() ? last_ + 1 : ready_.back().index + 1;
  if (next >= snapshot_->count()) return;
  const std::size_t want = std::min(2 * run_, kMessagesAhead);
  if (octets_ready_ > kOctetsAhead / 2 || ready_.size() > want / 2) return;
  fetch(next, want);
}

}  // namespace mail::pop3d
