// Work that many share: whoever comes while a group is being worked on waits for the next one, with all others that
// came.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace mail::store {

template <class Item>
class GroupCommit {
 public:
  /// Returns when a run of `work` that began after this call has ended; it was given `item` among all that waited. Any
  /// waiter's `work` may be the one that runs. One runs at a time.
  template <class Work>
  void run(Item& item, Work&& work) {
    std::unique_lock lock(mutex_);
    waiting_.push_back(&item);
    const auto mine = next_;
    while (ended_ < mine) {
      if (running_) {
        changed_.wait(lock);
        continue;
      }
      running_ = true;
      ++next_;
      const auto group = std::exchange(waiting_, {});
      lock.unlock();
      work(group);
      lock.lock();
      running_ = false;
      ended_ = mine;
      changed_.notify_all();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item*> waiting_;
  std::uint64_t next_ = 1, ended_ = 0;  ///< Groups: the one that forms, the last that ended.
  bool running_ = false;
};

}  // namespace mail::store
