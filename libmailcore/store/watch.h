// One inotify instance for all mailboxes of a process.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/disk.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace mail::store {

class Mailbox;

/// True for a descriptor on a network file system: other hosts change what is there, and no event tells of it.
bool on_network(int fd);

class Watcher : public std::enable_shared_from_this<Watcher> {
 public:
  /// `changed` is called on the watcher's thread for each mailbox that others changed.
  static std::shared_ptr<Watcher> start(std::function<void(const std::shared_ptr<Mailbox>&)> changed);
  ~Watcher();
  /// False where the kernel has no room for more watches: the mailbox is then looked at from time to time.
  bool add(const std::shared_ptr<Mailbox>& mailbox);
  void remove(const Mailbox* mailbox);
  /// Called on the watcher's thread, with the name of what came or went; an empty name: anything may have.
  using Happened = std::function<void(std::string_view name)>;
  /// Watches a directory, of which nothing is held open, as long as the token lives; a call may still run when that
  /// ends. Without `names` many events are one call with an empty name. nullptr where there is no room: these watches
  /// take at most half of what the kernel allows, so that open mailboxes find some too.
  std::shared_ptr<void> add_directory(const Directory& directory, std::uint32_t events, bool names, Happened happened);

 private:
  Watcher() = default;
  void run();
  struct Watch {
    std::weak_ptr<Mailbox> mailbox;
    const Mailbox* key = nullptr;
    int tag = 0;                               // 0 new, 1 cur, 2 the folder itself (and its index)
    std::shared_ptr<const Happened> happened;  // of add_directory(): instead of a mailbox
    bool names = false;
  };
  using Calls = std::set<std::pair<std::shared_ptr<const Happened>, std::string>>;
  void remove_directory(int number, const Happened* happened);
  void take_events(std::string_view events, std::set<std::shared_ptr<Mailbox>>& disturbed, Calls& calls);
  void disturb(const Watch& watch, std::string_view name, std::set<std::shared_ptr<Mailbox>>& disturbed);
  std::function<void(const std::shared_ptr<Mailbox>&)> changed_;
  UniqueFd inotify_, wake_;
  std::mutex mutex_;
  std::size_t directories_ = 0;
  std::multimap<int, Watch> watches_;  // two objects may watch one folder: the kernel gives both the same number
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace mail::store
