// One event loop on one thread. Everything but post() and stop() is called on the loop's own thread.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/unique_function.h"

struct event_base;
struct event;

namespace mail::net {

using Task = UniqueFunction<void()>;

class Loop {
 public:
  static Result<std::unique_ptr<Loop>> open();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Dispatches until stop().
  void run();
  /// Dispatches what is ready, waiting at most `wait` for the first event: for tests and single conversations.
  void run_once(std::chrono::milliseconds wait);
  /// Ends run() after the current batch; thread-safe, and from a signal watcher.
  void stop();
  /// Runs `task` on the loop's thread in its next batch; thread-safe. Tasks of one thread run in their order.
  void post(Task task);
  /// Runs `task` at the end of the current batch of events, before the loop sleeps. Loop thread only.
  void defer(Task task);
  /// The time of this batch: what time limits are counted from, with one system call per batch.
  SteadyTime now() {
    if (!now_known_) now_ = std::chrono::steady_clock::now(), now_known_ = true;
    return now_;
  }
  bool in_thread() const { return std::this_thread::get_id() == thread_.load(std::memory_order_relaxed); }

  event_base* base() const { return base_; }
  /// 64 KB that every connection of this loop reads into; valid within one read callback only.
  static constexpr std::size_t kReadBufferOctets = 65536;
  char* read_buffer() { return read_buffer_.get(); }

 private:
  Loop() = default;
  static void on_wake(int fd, short what, void* self) noexcept;
  void run_posted();
  void run_deferred();
  void dispatch(bool may_wait);

  event_base* base_ = nullptr;
  event* wake_ = nullptr;
  UniqueFd wake_fd_;
  std::mutex mutex_;
  std::vector<Task> posted_;
  std::vector<Task> running_;
  std::vector<Task> deferred_;
  std::unique_ptr<char[]> read_buffer_;
  std::atomic<bool> stopped_{false};
  std::atomic<std::thread::id> thread_{};
  SteadyTime now_{};
  bool now_known_ = false;
};

/// Calls back once after a while, or again and again. Its destructor and cancel() end it; both are allowed in the
/// callback.
class Timer {
 public:
  Timer(Loop& loop, Task on_time);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void start(std::chrono::microseconds after);  ///< Once; replaces an earlier start.
  void repeat(std::chrono::microseconds every);
  void cancel();
  bool pending() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// Calls back while a descriptor is ready (level-triggered). The descriptor stays the caller's.
class Watch {
 public:
  enum class For { reading, writing };
  Watch(Loop& loop, int fd, For what, Task on_ready);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  void pause();
  void resume();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// Calls back on the loop when the process gets `signal` (one watcher per signal and process).
class SignalWatch {
 public:
  SignalWatch(Loop& loop, int signal, Task on_signal);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// N loops; the first runs in the thread that calls run(), the others in threads of their own.
class Loops {
 public:
  /// `count` 0: one per core.
  static Result<std::unique_ptr<Loops>> open(unsigned count);
  ~Loops();
  Loop& first() { return *loops_.front(); }
  Loop& at(std::size_t index) { return *loops_[index]; }
  std::size_t size() const { return loops_.size(); }
  /// Round robin.
  Loop& next() { return *loops_[next_.fetch_add(1, std::memory_order_relaxed) % loops_.size()]; }
  /// Runs all until stop(), then joins the threads.
  void run();
  void stop();

 private:
  Loops() = default;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
  std::atomic<std::size_t> next_{0};
};

}  // namespace mail::net
