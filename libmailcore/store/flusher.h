// Flushes that many share (group commit).
#pragma once
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/disk.h"
#include "base/result.h"
#include "store/group_commit.h"

namespace mail::store {

/// One queue of flushes.
class SharedFlush {
 public:
  /// Returns when a run of `flush` that began after this call has ended, with its result. Any waiter's `flush` may be
  /// the one that runs.
  Status run(const std::function<Status()>& flush);

 private:
  GroupCommit<Status> waiting_;
};

/// What has to be durable.
struct FlushSet {
  std::vector<int> files;
  std::vector<const Directory*> directories;
};

/// Of one process: syncfs for each file system, or single flushes where another program keeps the file system so busy
/// that syncfs is slow.
class Flusher {
 public:
  Flusher(Disk& disk, bool enabled) : disk_(disk), enabled_(enabled) {}
  /// @param everything  set to whether all of the file system was flushed, not only what was asked for
  Status flush(const FlushSet& set, bool* everything = nullptr);
  /// The whole file system that `any` is on.
  Status flush_all(const Directory& any);

 private:
  struct Device {
    SharedFlush shared;
    std::mutex mutex;
    std::chrono::steady_clock::time_point slow_until{};
  };
  Device& device_of(const Directory& directory);
  Disk& disk_;
  bool enabled_;
  std::mutex mutex_;
  std::map<dev_t, std::unique_ptr<Device>> devices_;
};

}  // namespace mail::store
