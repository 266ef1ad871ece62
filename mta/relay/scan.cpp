// The backlog: boxes are listed and envelopes read by workers of their own, which are nice: a million of them keep
// nobody waiting who comes now.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/memory.h"
#include "base/priority.h"
#include "mta/relay/manager.h"

namespace mail::relay {

namespace {

using namespace std::chrono_literals;
constexpr auto kScan = 60s;                // for file systems without inotify, and files that an operator put there
constexpr int kScanShare = 100;            // a listing that takes a second comes again after a hundred at the earliest
constexpr std::size_t kFreshAtOnce = 100;  // then replies have their turn
constexpr std::size_t kBatch = 200;        // envelopes that a worker reads in one go
constexpr unsigned kMostBatches = 3;       // two cores' worth, and one on its way
constexpr std::size_t kSkipAtOnce = 5000;  // ids that turn out to be known

}  // namespace

/// What a worker finds in the boxes.
struct Manager::Listing {
  std::vector<CompactId> queue;  // oldest first
  std::vector<std::string> drop;
  SteadyTime began = std::chrono::steady_clock::now();
};

Manager::Listing Manager::list_boxes(const spool::Spool& spool) {
  Listing listing;
  const auto in_queue =
      spool.each(spool::Box::queue, [&](const MessageId& id) { listing.queue.emplace_back(CompactId(id)); });
  const auto in_drop = spool.disk().each(spool.directory(spool::Box::drop), [&](std::string_view name) {
    if (!name.starts_with('.')) listing.drop.emplace_back(name);
  });
  for (const auto& status : {in_queue, in_drop})
    if (!status) log_event(LogLevel::error, "scan-failed", {{"reason", status.error().text}});
  // By time, which is the order on the disk more or less.
  std::ranges::sort(listing.queue);
  return listing;
}

void Manager::scan() {
  if (stopping_) return;
  if (scanning_ || backlog_at_ < backlog_.size()) {
    scan_again_ = true;
    return;
  }
  scanning_ = true;
  readers_.submit(
      s_.loop,
      [&spool = s_.spool] {
        give_way();
        return list_boxes(spool);
      },
      [this, alive = alive_](Listing listing) {
        if (*alive) scanned(std::move(listing));
      });
}

void Manager::scanned(Listing listing) {
  scanning_ = false;
  if (stopping_) return;
  const auto took = std::chrono::steady_clock::now() - listing.began;
  scan_.start(std::max(std::chrono::duration_cast<std::chrono::microseconds>(kScanShare * took),
                       std::chrono::microseconds(kScan)));
  for (const auto& name : listing.drop) take_drop(name);
  backlog_ = std::move(listing.queue);
  backlog_at_ = 0;
  read_backlog();
}

/// Keeps a few workers busy with what the scan has found.
void Manager::read_backlog() {
  for (std::size_t skipped = 0; batches_ < kMostBatches && backlog_at_ < backlog_.size() && !stopping_;) {
    std::vector<CompactId> batch;
    for (; batch.size() < kBatch && backlog_at_ < backlog_.size() && skipped < kSkipAtOnce; ++backlog_at_) {
      const auto& id = backlog_[backlog_at_];
      if (known_.insert(Known(id)))
        batch.push_back(id);
      else
        ++skipped;
    }
    if (!batch.empty()) read_batch(std::move(batch));
    if (skipped < kSkipAtOnce) continue;
    s_.loop.post([this, alive = alive_] {
      if (*alive) read_backlog();
    });
    return;
  }
  if (backlog_at_ < backlog_.size() || batches_ > 0 || stopping_) return;
  const auto read = std::exchange(backlog_read_, 0);
  backlog_ = {};
  backlog_at_ = 0;
  if (read > 0) {
    log_event(LogLevel::info, "queue-read", {{"messages", read}, {"known", known_.size()}});
    trim_heap();  // the list, and what the workers read with
  }
  if (std::exchange(scan_again_, false)) scan();
}

void Manager::read_batch(std::vector<CompactId> batch) {
  ++batches_;
  backlog_read_ += batch.size();
  for (const auto& id : batch) begin_work(id.id());
  using Envelopes = std::vector<Result<spool::Envelope>>;
  auto ids = std::make_shared<const std::vector<CompactId>>(std::move(batch));
  readers_.submit(
      s_.loop,
      [&spool = s_.spool, ids] {
        give_way();
        Envelopes envelopes;
        envelopes.reserve(ids->size());
        for (const auto& id : *ids) envelopes.push_back(spool::read_envelope(spool, spool::Box::queue, id.id()));
        return envelopes;
      },
      [this, alive = alive_, ids](Envelopes envelopes) {
        if (!*alive) return;
        --batches_;
        for (std::size_t i = 0; i < ids->size(); ++i) {
          const auto id = (*ids)[i].id();
          if (!stopping_) took(id, std::move(envelopes[i]));
          end_work(id);
        }
        read_backlog();
      });
}

/// New mail, as the spool tells of it: its envelope is in the page cache, and nothing is faster than to read it here.
void Manager::look(std::vector<spool::Found> found) {
  if (stopping_) return;
  for (auto& f : found) {
    if (f.box == spool::Box::drop) {
      take_drop(f.name);
    } else if (const auto id = MessageId::parse(f.name)) {
      if (const CompactId compact(*id); !known_.contains(compact)) fresh_.push_back(compact);
    }
  }
  if (!reading_) read_fresh();
}

void Manager::read_fresh() {
  reading_ = false;
  for (std::size_t i = 0; i < kFreshAtOnce && !fresh_.empty() && !stopping_; ++i) {
    const auto id = fresh_.front().id();
    fresh_.pop_front();
    take_in(id);
  }
  if (fresh_.empty() || stopping_) return;
  reading_ = true;
  s_.loop.post([this, alive = alive_] {
    if (*alive) read_fresh();
  });
}

}  // namespace mail::relay
