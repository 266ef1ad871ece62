// Summaries as they are asked for, where the index does not have them all: threads read ahead while the answers of the
// messages before are made. How far is bounded, in messages and octets, whatever the client takes.
#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "store/mailbox.h"
#include "store/summary_cache.h"

namespace mail::store {

class Mailbox;
class SessionView;

class SummaryReader final : public SummaryReading {
 public:
  /// @param view  outlives the last call of next()
  SummaryReader(const SessionView& view, std::shared_ptr<Mailbox> mailbox, UidSet uids, SummaryDepth depth);
  bool next(const Tell& tell) override;

 private:
  struct Item {
    SequenceNumber number{};
    MessageRow row;
    SummaryRef ref{};
    bool missing = false;  ///< In the index: its file is read.
    bool in_new = false;
    std::string name;  ///< Of the file.
    std::string made;
  };
  struct Chunk {
    enum class State { waiting, reading, ready } state = State::waiting;
    std::vector<Item> items;
    std::size_t told = 0;     ///< So many of them.
    std::size_t missing = 0;  ///< So many are to be read.
    std::size_t octets = 0;   ///< Of what was made.
  };
  class Helpers;

  void look_ahead();
  void look_again();
  Chunk* claim();
  void read(Chunk& chunk) const;
  void read_one(std::unique_lock<std::mutex>& lock, Chunk& chunk);
  void make_ready(Chunk& front);
  void help();
  bool tell(Chunk& chunk, const Tell& tell);
  std::optional<Summary> summary(Item& item);
  void keep(bool all);

  const SessionView& view_;
  std::shared_ptr<Mailbox> mailbox_;
  UidSet uids_;
  SummaryDepth depth_;
  std::size_t range_ = 0;   ///< The first range of uids_ of which there may be more ...
  std::uint64_t from_ = 1;  ///< ... from this UID on.
  std::size_t ahead_ = 0;   ///< Messages in chunks_.
  std::optional<SummaryCache::Reading> cache_;
  std::vector<std::pair<Uid, std::string>> made_;  ///< To be put into the index.
  std::size_t made_octets_ = 0;

  // Threads add no chunks and remove none; the state of each, and these, belong to who has the mutex.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Chunk> chunks_;
  std::size_t octets_ = 0;  ///< Of what was made and not told yet.
  bool stopping_ = false;
};

}  // namespace mail::store
