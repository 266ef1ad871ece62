#include "net/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>

#include "base/log.h"

namespace mail::net {
namespace {

timeval to_timeval(std::chrono::microseconds time) {
  if (time.count() < 0) time = std::chrono::microseconds(0);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {seconds.count(), (time - seconds).count()};
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::open() {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes with write(2): a peer that went away is an error, not a death
  std::unique_ptr<Loop> loop(new Loop);
  event_config* config = event_config_new();
  if (config == nullptr) return fail(Error::Kind::temporary, "event loop: out of memory");
  // Only this thread touches the base (others use the eventfd), and no descriptor is ever duplicated, so the change
  // list, which saves system calls, is safe.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
#ifndef RELAIS_TSAN
  // A change may be made after its descriptor was closed and another loop has the number: ENOENT to the kernel, a race
  // to TSan, whose preset does without.
  event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
#endif
  loop->base_ = event_base_new_with_config(config);
  event_config_free(config);
  if (loop->base_ == nullptr) return fail_errno("event loop");
  loop->wake_fd_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!loop->wake_fd_) return fail_errno("eventfd");
  loop->wake_ = event_new(loop->base_, loop->wake_fd_.get(), EV_READ | EV_PERSIST, on_wake, loop.get());
  if (loop->wake_ == nullptr || event_add(loop->wake_, nullptr) != 0) return fail_errno("event loop");
  loop->read_buffer_ = std::make_unique_for_overwrite<char[]>(kReadBufferOctets);
  return loop;
}

Loop::~Loop() {
  // Tasks may own what has events on this loop: they go first. A task's destructor may post again.
  while (!posted_.empty() || !deferred_.empty()) {
    auto posted = std::move(posted_);
    auto deferred = std::move(deferred_);
    posted_.clear();
    deferred_.clear();
  }
  if (wake_ != nullptr) event_free(wake_);
  if (base_ != nullptr) event_base_free(base_);
}

void Loop::run() {
  thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  while (!stopped_.load(std::memory_order_acquire)) dispatch(true);
  stopped_.store(false, std::memory_order_release);
}

void Loop::run_once(std::chrono::milliseconds wait) {
  thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  if (!deferred_.empty()) return dispatch(false);
  const timeval limit = to_timeval(wait);
  event* timer = event_new(
      base_, -1, EV_TIMEOUT, [](int, short, void*) {}, nullptr);
  if (timer != nullptr) event_add(timer, &limit);
  dispatch(true);
  if (timer != nullptr) event_free(timer);
}

void Loop::dispatch(bool may_wait) {
  now_known_ = false;
  event_base_loop(base_, may_wait && deferred_.empty() ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
  run_deferred();
}

void Loop::stop() {
  stopped_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(wake_fd_.get(), &one, sizeof one);
}

void Loop::post(Task task) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (!first) return;  // whoever came first has woken the loop
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(wake_fd_.get(), &one, sizeof one);
}

void Loop::defer(Task task) { deferred_.push_back(std::move(task)); }

void Loop::on_wake(int fd, short, void* self) noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(fd, &count, sizeof count);
  static_cast<Loop*>(self)->run_posted();
}

void Loop::run_posted() {
  {
    const std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  for (auto& task : running_) {
    task();
    task = nullptr;  // what it owned goes now, not after the last one
  }
  running_.clear();
}

void Loop::run_deferred() {
  // One round: what these defer in turn is for the next batch, or a reader that always asks for more would starve all
  // others.
  std::vector<Task> tasks;
  tasks.swap(deferred_);
  for (auto& task : tasks) {
    task();
    task = nullptr;
  }
  tasks.clear();
  if (deferred_.empty()) deferred_.swap(tasks);  // keeps the capacity
}

struct Timer::Impl : std::enable_shared_from_this<Timer::Impl> {
  event timer{};
  Task on_time;
  std::chrono::microseconds every{0};

  static void fired(int, short, void* self) noexcept {
    const auto keep = static_cast<Impl*>(self)->shared_from_this();  // the callback may destroy the Timer
    if (keep->every.count() > 0) {
      const timeval again = to_timeval(keep->every);
      event_add(&keep->timer, &again);
    }
    keep->on_time();
  }
};

Timer::Timer(Loop& loop, Task on_time) : impl_(std::make_shared<Impl>()) {
  impl_->on_time = std::move(on_time);
  event_assign(&impl_->timer, loop.base(), -1, EV_TIMEOUT, Impl::fired, impl_.get());
}

Timer::~Timer() { event_del(&impl_->timer); }

void Timer::start(std::chrono::microseconds after) {
  impl_->every = std::chrono::microseconds(0);
  const timeval when = to_timeval(after);
  event_add(&impl_->timer, &when);
}

void Timer::repeat(std::chrono::microseconds every) {
  start(every);
  impl_->every = every;
}

void Timer::cancel() {
  impl_->every = std::chrono::microseconds(0);
  event_del(&impl_->timer);
}

bool Timer::pending() const { return event_pending(&impl_->timer, EV_TIMEOUT, nullptr) != 0; }

struct Watch::Impl : std::enable_shared_from_this<Watch::Impl> {
  event watch{};
  Task on_ready;

  static void fired(int, short, void* self) noexcept {
    const auto keep = static_cast<Impl*>(self)->shared_from_this();
    keep->on_ready();
  }
};

Watch::Watch(Loop& loop, int fd, For what, Task on_ready) : impl_(std::make_shared<Impl>()) {
  impl_->on_ready = std::move(on_ready);
  const short events = what == For::reading ? EV_READ | EV_PERSIST : EV_WRITE | EV_PERSIST;
  event_assign(&impl_->watch, loop.base(), fd, events, Impl::fired, impl_.get());
  resume();
}

Watch::~Watch() { event_del(&impl_->watch); }
void Watch::pause() { event_del(&impl_->watch); }
void Watch::resume() { event_add(&impl_->watch, nullptr); }

struct SignalWatch::Impl {
  event watch{};
  Task on_signal;
};

SignalWatch::SignalWatch(Loop& loop, int signal, Task on_signal) : impl_(std::make_unique<Impl>()) {
  impl_->on_signal = std::move(on_signal);
  event_assign(
      &impl_->watch, loop.base(), signal, EV_SIGNAL | EV_PERSIST,
      [](int, short, void* self) { static_cast<Impl*>(self)->on_signal(); }, impl_.get());
  event_add(&impl_->watch, nullptr);
}

SignalWatch::~SignalWatch() { event_del(&impl_->watch); }

}  // namespace mail::net
