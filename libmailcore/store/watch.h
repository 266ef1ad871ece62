// One inotify instance for all mailboxes of a process.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace mail::store {

class Mailbox;

class Watcher {
 public:
  /// `changed` is called on the watcher's thread for each mailbox that others changed.
  static std::unique_ptr<Watcher> start(std::function<void(const std::shared_ptr<Mailbox>&)> changed);
  ~Watcher();
  /// False where the kernel has no room for more watches: the mailbox is then looked at from time to time.
  bool add(const std::shared_ptr<Mailbox>& mailbox);
  void remove(const Mailbox* mailbox);

 private:
  Watcher() = default;
  void run();
  struct Watch {
    std::weak_ptr<Mailbox> mailbox;
    const Mailbox* key = nullptr;
    int tag = 0;  // 0 new, 1 cur, 2 the folder itself (and its index)
  };
  std::function<void(const std::shared_ptr<Mailbox>&)> changed_;
  UniqueFd inotify_, wake_;
  std::mutex mutex_;
  std::multimap<int, Watch> watches_;  // two objects may watch one folder: the kernel gives both the same number
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace mail::store
