#include <pthread.h>

#include <algorithm>
#include <csignal>

#include "net/loop.h"

namespace mail::net {

Result<std::unique_ptr<Loops>> Loops::open(unsigned count) {
  std::unique_ptr<Loops> loops(new Loops);
  if (count == 0) count = std::max(1U, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < count; ++i) {
    MAIL_TRY(loop, Loop::open());
    loops->loops_.push_back(std::move(loop));
  }
  return loops;
}

Loops::~Loops() {
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
}

void Loops::run() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the first loop's business
  for (std::size_t i = 1; i < loops_.size(); ++i) threads_.emplace_back([loop = loops_[i].get()] { loop->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  loops_.front()->run();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void Loops::stop() {
  for (auto& loop : loops_) loop->stop();
}

}  // namespace mail::net
