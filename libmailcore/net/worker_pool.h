// Threads for what blocks: fsync, SQLite, password hashes, large mailboxes. The result comes back to a loop as an
// event.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "net/loop.h"

namespace mail::net {

class WorkerPool {
 public:
  /// `threads` 0: four per core. Threads start with the first jobs.
  explicit WorkerPool(unsigned threads = 0);
  /// Waits for the jobs that run; those that wait are dropped.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Runs `job` on some thread; from any thread.
  void submit(Task job);
  /// Runs `job` there and `done(result)` on `loop`. Guard `done` with Alive where its owner may die first.
  template <class Job, class Done>
  void submit(Loop& loop, Job job, Done done) {
    submit([&loop, job = std::move(job), done = std::move(done)]() mutable {
      if constexpr (std::is_void_v<decltype(job())>) {
        job();
        loop.post(std::move(done));
      } else {
        loop.post([done = std::move(done), result = job()]() mutable { done(std::move(result)); });
      }
    });
  }
  std::size_t waiting() const;

 private:
  void work();
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Task> jobs_;
  std::vector<std::thread> threads_;
  unsigned most_;
  unsigned idle_ = 0;
  bool stopping_ = false;
};

}  // namespace mail::net
