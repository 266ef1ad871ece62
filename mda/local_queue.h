// Works through spool/local: batches of messages are put into their mailboxes, where readers see them at once. Now and
// then all of them are made durable with one flush of the file system, noted as done, and their spool files unlinked:
// until then the spool holds the durable copy, and a flush does not stand in the way of what is accepted meanwhile.
// A delivery that fails for now is tried again later; one that fails for good is handed to the queue, where relay tells
// the sender.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "config/settings.h"
#include "mda/agent.h"
#include "spool/done.h"
#include "spool/pool.h"
#include "spool/reader.h"
#include "spool/watcher.h"
#include "spool/writer.h"

namespace mail::mda {

class LocalQueue {
 public:
  /// All references must outlive this.
  LocalQueue(const config::Settings& settings, const spool::Spool& spool, Agent& agent, spool::Writer& writer,
             spool::DoneJournal& done, const Clock& clock = Clock::system());
  ~LocalQueue();  ///< Stops.

  /// Starts the workers and the watch on the box.
  Status start(unsigned workers = 2);
  /// Ends after the batches under way.
  void stop();
  /// Messages are in the box; thread-safe. Known ones are not taken twice.
  void found(std::span<const MessageId> ids);
  /// Takes what is in the box and delivers until nothing is due; for tests and `mda --once`. @return messages that are
  /// left for later.
  Result<std::size_t> run_once();

 private:
  void watch();
  void work();
  void scan();
  std::vector<MessageId> take();
  bool take_now() const;
  void process(const std::vector<MessageId>& ids);
  struct Job;
  bool open(const MessageId& id, Job& job);
  static bool may_put_off(const Job& job, const std::vector<Outcome>& outcomes);
  void flush_now(std::vector<std::vector<Outcome>>& outcomes, store::Unflushed& unflushed);
  void settle(Job& job, const std::vector<Outcome>& outcomes);
  void record(Job& job, std::size_t recipient, const Outcome& outcome);
  Status hand_over(Job& job);
  void write_states(Job& job);
  void finish(Job& job);
  void later(const MessageId& id, WallTime when);
  void forget(const MessageId& id);
  void wake();

  // settling.cpp: from the mailbox to the end
  struct Unflushed;
  void add_unflushed(Unflushed more);
  void settle_loop();
  void flush_unflushed();
  void again(std::span<const MessageId> ids, const Error& error);
  void retire(const Unflushed& messages);

  const config::Settings& settings_;
  const spool::Spool& spool_;
  Agent& agent_;
  spool::Writer& writer_;
  spool::DoneJournal& done_;
  const Clock& clock_;
  const WallTime started_ = clock_.now();
  std::mutex mutex_;
  std::condition_variable ready_changed_;
  std::deque<MessageId> ready_;
  std::multimap<WallTime, MessageId> waiting_;
  std::unordered_set<MessageId> known_;                   // ready, waiting, in work or unflushed
  std::unordered_set<MessageId> repeated_;                // of them: a flush failed
  std::chrono::steady_clock::time_point gathered_until_;  // until then what becomes ready waits for more
  bool stopping_ = false;

  /// Delivered, not durable yet.
  struct Unflushed {
    struct Message {
      MessageId id;
      std::uint64_t octets;  // of its spool file
      bool own;              // it came by our LMTP, not by mta serve
      bool logged;           // it may have an ID.log
    };
    std::vector<Message> messages;
    std::uint64_t octets = 0;
    std::chrono::steady_clock::time_point oldest;
    store::Unflushed places;
    std::vector<MessageId> ids() const;
    bool full() const;
  };
  std::mutex unflushed_mutex_;
  std::condition_variable unflushed_changed_;
  Unflushed unflushed_;
  bool settling_ends_ = false;
  spool::Recycler served_, own_;  // the settling thread's
  std::thread settling_thread_;
  UniqueFd wake_;
  std::vector<std::thread> threads_;
};

}  // namespace mail::mda
