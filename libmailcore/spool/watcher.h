// Tells of new messages in boxes: inotify, and a slow scan for file systems that have none (NFS).
#pragma once
#include <string>
#include <vector>

#include "spool/spool.h"

namespace mail::spool {

struct Found {
  Box box;
  std::string name;  ///< The id; in drop, any file name.
};

class Watcher {
 public:
  /// Starts to watch. Open it before the first scan(), so that nothing falls between.
  static Result<Watcher> open(const Spool& spool, std::vector<Box> boxes);
  Watcher(Watcher&&) = default;
  /// Readable when read() has something; -1 where there is no inotify (then scan() is all there is).
  int fd() const { return inotify_.get(); }
  /// What came since the last call, never blocking. After an overflow of the kernel's queue it is a scan(); a caller
  /// that gives `overflow` is told instead, and scans when it likes.
  Result<std::vector<Found>> read(bool* overflow = nullptr);
  /// All that is in the boxes now: at start, and every scan interval (a minute is fit).
  Result<std::vector<Found>> scan() const;

 private:
  Watcher(const Spool& spool, std::vector<Box> boxes) : spool_(&spool), boxes_(std::move(boxes)) {}
  const Spool* spool_;
  std::vector<Box> boxes_;
  UniqueFd inotify_;
  std::vector<std::pair<int, Box>> watches_;
};

}  // namespace mail::spool
