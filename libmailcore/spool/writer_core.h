// The machinery behind spool::Writer. Internal to spool/.
//
// Threads: any number of submitters; one journal thread that writes and syncs batches; one that names files; a keeper
// that prepares the next segment and frees old ones; some that sync large files. A message cannot be lost when both
// halves are done: its journal record is durable and its ordinary file is written. Whoever finishes the second half
// names the file and calls back; where somebody waits for the answer it is told first, and the naming left to its
// thread.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "spool/pool.h"
#include "spool/segment.h"
#include "spool/writer.h"

namespace mail::spool {

/// A message between commit() and its callback.
struct Pending {
  struct Part {
    Box box;
    std::string temporary_name;
    std::string_view header;  // into image or headers
    std::string pooled = {};  // its name in the pool, where its file is one of there
    bool named = false;       // in its box
  };
  MessageId id;
  std::string image;                 // entry 0's whole file; empty when large
  std::vector<std::string> headers;  // of the other entries (when large: of none)
  std::vector<Part> parts;
  std::string_view content;
  bool large = false;
  bool aborted = false;  // takes back the record of a message whose file could not be written
  CommitDone done, durable;
  std::atomic<int> halves{2};
  std::mutex mutex;
  Status status;                     // the first failure of either half
  bool recorded = false;             // its record is in the journal
  std::shared_ptr<Segment> segment;  // there

  Record record() const;
  void fail_with(const Error& error);
  /// Calls back those that have not been told yet.
  void tell();
};

/// Holds the lock of journal/PROGRAM.
struct JournalLock {
  Directory directory;
  UniqueFd file;
};
/// @return refused where another process holds it.
Result<JournalLock> lock_journal(const Spool& spool, std::string_view program, std::string_view lock_name);

class WriterCore {
 public:
  WriterCore(const Spool& spool, std::string program, WriterOptions options, JournalLock lock,
             std::uint32_t next_generation, std::vector<std::string> free_segments);
  ~WriterCore();

  const Spool& spool() const { return spool_; }
  const std::string& program() const { return program_; }
  const WriterOptions& options() const { return options_; }
  void commit(std::shared_ptr<Pending> pending);
  /// Runs `job` on a thread that may block in fsync.
  void run_blocking(std::function<void()> job);

 private:
  friend class Incoming;
  void journal_loop();
  void keeper_loop();
  void sync_loop();
  void write_batch(std::vector<std::shared_ptr<Pending>> batch);
  Status ensure_segment(std::uint64_t octets);
  void write_file(Pending& pending);
  Status write_part(const Pending& pending, Pending::Part& part);
  Result<UniqueFd> open_pooled(Pending::Part& part, std::uint64_t octets);
  std::pair<const Directory&, const std::string&> place_of(const Pending::Part& part) const;
  void half_done(const std::shared_ptr<Pending>& pending);
  void finish(Pending& pending);
  Status name_part(const Pending& pending, Pending::Part& part);
  bool name_later(const std::shared_ptr<Pending>& pending);
  void naming_loop();
  bool name_again(Pending& pending);
  void end(const std::shared_ptr<Pending>& pending);
  void discard(Pending& pending);
  void take_back(const Pending& pending);
  void fail_batch(const std::vector<std::shared_ptr<Pending>>& batch, const Error& error);
  void write_records(std::vector<std::shared_ptr<Pending>>& batch, std::string& octets);
  void prepare_spare();
  /// Frees what can be freed. `pressure`: segments are running short, so what is still there is synced as files. `all`:
  /// at the end, everything.
  void free_segments(bool pressure, bool all);
  bool free_segment(Segment& segment, bool sync);
  Status sync_messages(const std::vector<LiveMessage>& messages);

  const Spool& spool_;
  std::string program_;
  WriterOptions options_;
  JournalLock lock_;
  std::unique_ptr<Pool> pool_;  // null where it could not be made

  std::mutex mutex_;  // the queue and the segments' lists
  std::condition_variable work_, keeper_wake_, spare_ready_, sync_work_, naming_work_, idle_;
  std::deque<std::shared_ptr<Pending>> queue_;
  std::vector<std::shared_ptr<Pending>> to_name_;
  bool naming_sleeps_ = false;
  bool naming_fails_ = false;  // then nobody is told before his message has its name
  std::deque<std::function<void()>> sync_jobs_;
  std::size_t under_way_ = 0;  // between commit() and callback
  bool ending_ = false;        // names that cannot be given are left to the journal
  bool stopping_ = false;
  std::shared_ptr<Segment> spare_;
  Status spare_status_;
  bool spare_wanted_ = true;
  std::deque<std::pair<std::shared_ptr<Segment>, std::chrono::steady_clock::time_point>> closed_;
  std::uint32_t next_generation_;
  std::vector<std::string> free_;
  std::shared_ptr<Segment> current_;  // the journal thread's

  std::thread journal_thread_, naming_thread_, keeper_thread_;
  std::vector<std::thread> sync_threads_;
};

}  // namespace mail::spool
