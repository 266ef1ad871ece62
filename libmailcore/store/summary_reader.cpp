#include "store/summary_reader.h"

#include <algorithm>
#include <thread>

#include "store/parallel.h"
#include "store/summary.h"
#include "store/view.h"

namespace mail::store {

namespace {

/// Messages that a thread reads at once.
constexpr std::size_t kChunk = 16;
/// Messages and octets that lie here at most (but for the chunks being read): what is not asked for then is lost.
constexpr std::size_t kMessagesAhead = 512;
constexpr std::size_t kOctetsAhead = 128 * 1024;
/// Where fewer are to be read, one thread does.
constexpr std::size_t kWorthAThread = 32;
/// Whole summaries that go into the index at once.
constexpr std::size_t kKept = 1024;
constexpr std::size_t kKeptOctets = 1024 * 1024;

}  // namespace

/// The threads of one call of next().
class SummaryReader::Helpers {
 public:
  explicit Helpers(SummaryReader& reader) : reader_(reader) {}
  ~Helpers() {
    {
      const std::lock_guard lock(reader_.mutex_);
      reader_.stopping_ = true;
    }
    reader_.changed_.notify_all();
    for (auto& thread : threads_) thread.join();
    reader_.stopping_ = false;
  }
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;
  void start_once() {
    if (!threads_.empty()) return;
    for (unsigned n = threads_of(reader_.mailbox_->parse_threads()); n > 1; --n)
      threads_.emplace_back([this] { reader_.help(); });
  }

 private:
  SummaryReader& reader_;
  std::vector<std::thread> threads_;
};

SummaryReader::SummaryReader(const SessionView& view, std::shared_ptr<Mailbox> mailbox, UidSet uids, SummaryDepth depth)
    : view_(view), mailbox_(std::move(mailbox)), uids_(std::move(uids)), depth_(depth) {}

bool SummaryReader::next(const Tell& tell) {
  cache_.emplace(mailbox_->summaries());
  look_again();
  {
    Helpers helpers(*this);
    for (bool more = true; more;) {
      look_ahead();
      if (chunks_.empty()) break;
      std::size_t missing = 0;
      for (const auto& chunk : chunks_) missing += chunk.missing;
      if (missing >= kWorthAThread) helpers.start_once();
      auto& front = chunks_.front();
      make_ready(front);
      more = this->tell(front, tell);
      if (front.told < front.items.size()) continue;
      const std::lock_guard lock(mutex_);
      octets_ -= front.octets;
      ahead_ -= front.items.size();
      chunks_.pop_front();
      changed_.notify_all();
    }
  }
  cache_.reset();
  const bool done = chunks_.empty() && range_ == uids_.ranges().size();
  keep(done);
  return !done;
}

/// Takes in the next messages of the view, where few are waiting.
void SummaryReader::look_ahead() {
  constexpr std::size_t kRanges = 256;
  if (ahead_ > kMessagesAhead / 2) return;
  const auto& ranges = uids_.ranges();
  while (ahead_ < kMessagesAhead && range_ < ranges.size()) {
    UidSet some;
    const auto end = std::min(range_ + kRanges, ranges.size());
    for (auto at = range_; at < end; ++at)
      if (number(ranges[at].last) >= from_)
        some.add(std::max(ranges[at].first, static_cast<Uid>(from_)), ranges[at].last);
    Chunk chunk;
    bool all = true;
    std::vector<Chunk> found;
    {
      std::shared_lock lock(mailbox_->image_lock());
      const auto& image = mailbox_->image();
      view_.for_rows(some, [&](RowNumber row, SequenceNumber number) {
        Item item{number, view_.message(row), image.summary(row), false, false, {}, {}};
        item.missing = !mailbox_->summaries().plausible(item.ref);
        if (item.missing) {
          item.name = image.file_name(row);
          item.in_new = image.in_new(row);
          ++chunk.missing;
        }
        from_ = std::uint64_t{store::number(item.row.uid)} + 1;
        chunk.items.push_back(std::move(item));
        if (chunk.items.size() == kChunk) found.push_back(std::exchange(chunk, {}));
        return all = ++ahead_ < kMessagesAhead;
      });
    }
    if (!chunk.items.empty()) found.push_back(std::move(chunk));
    const std::lock_guard lock(mutex_);
    for (auto& each : found) {
      if (each.missing == 0) each.state = Chunk::State::ready;
      chunks_.push_back(std::move(each));
    }
    if (all) range_ = end;
    changed_.notify_all();
  }
  mailbox_->note_reading();
}

/// Flags may have changed since what lies here was read.
void SummaryReader::look_again() {
  for (auto& chunk : chunks_)
    for (auto at = chunk.told; at < chunk.items.size(); ++at)
      if (const auto row = view_.row(chunk.items[at].row.uid)) chunk.items[at].row = *row;
}

/// The chunk that is to be read next, where one may be. Under the mutex.
SummaryReader::Chunk* SummaryReader::claim() {
  for (auto& chunk : chunks_) {
    if (chunk.state != Chunk::State::waiting) continue;
    if (octets_ >= kOctetsAhead && &chunk != &chunks_.front()) return nullptr;
    chunk.state = Chunk::State::reading;
    return &chunk;
  }
  return nullptr;
}

void SummaryReader::read(Chunk& chunk) const {
  for (auto& item : chunk.items) {
    if (!item.missing) continue;
    item.made = mailbox_->summary_of(item.row.uid, depth_, {item.name, item.in_new});
    chunk.octets += item.made.size();
  }
}

void SummaryReader::read_one(std::unique_lock<std::mutex>& lock, Chunk& chunk) {
  lock.unlock();
  read(chunk);
  lock.lock();
  octets_ += chunk.octets;
  chunk.state = Chunk::State::ready;
}

/// Reads it, or other ones while a helper does.
void SummaryReader::make_ready(Chunk& front) {
  std::unique_lock lock(mutex_);
  while (front.state != Chunk::State::ready) {
    if (auto* chunk = claim())
      read_one(lock, *chunk);
    else
      changed_.wait(lock);
  }
}

void SummaryReader::help() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (auto* chunk = claim()) {
      read_one(lock, *chunk);
      if (chunk == &chunks_.front()) changed_.notify_all();
    } else {
      changed_.wait(lock);
    }
  }
}

bool SummaryReader::tell(Chunk& chunk, const Tell& tell) {
  while (chunk.told < chunk.items.size()) {
    auto& item = chunk.items[chunk.told++];
    bool more = true;
    if (const auto found = summary(item)) {
      if (found->octets != 0) item.row.octets = found->octets;
      more = tell(item.number, item.row, *found);
    }
    if (depth_ == SummaryDepth::whole && !item.made.empty()) {
      made_octets_ += item.made.size();
      made_.emplace_back(item.row.uid, std::move(item.made));
      keep(false);
    }
    if (!more) return false;
  }
  return true;
}

/// What is known of a message now; nothing where its file is gone.
std::optional<Summary> SummaryReader::summary(Item& item) {
  std::optional<Summary> out;
  if (!item.missing) {
    out = cache_->summary(item.ref);
    if (!out) cache_.emplace(mailbox_->summaries());  // put there since
    if (!out) out = cache_->summary(item.ref);
    if (!out) item.made = mailbox_->summary_of(item.row.uid, SummaryDepth::whole);  // damaged: exact all the same
  }
  if (!item.made.empty()) {
    if (item.missing && depth_ == SummaryDepth::envelope) {
      out.emplace().envelope = item.made;
      out->sent_date = INT64_MIN;
    } else {
      out = parse_summary(item.made);
    }
  }
  if (out && out->sent_date == INT64_MIN) out->sent_date = item.row.internal_date;
  return out;
}

/// Puts whole summaries into the index, many at a time. A full disk costs only the index, not the answer.
void SummaryReader::keep(bool all) {
  if (made_.empty() || (!all && made_.size() < kKept && made_octets_ < kKeptOctets)) return;
  std::vector<std::pair<Uid, std::string_view>> records(made_.begin(), made_.end());
  (void)mailbox_->keep_summaries(records);
  made_.clear();
  made_octets_ = 0;
}

}  // namespace mail::store
