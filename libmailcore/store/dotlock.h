// Dovecot's dotlock (`dovecot-uidlist.lock`): made with O_EXCL, holds "PID:HOST", safe over NFS. Taken while UIDs are
// given.
#pragma once
#include <chrono>
#include <string>

#include "base/disk.h"
#include "base/result.h"

namespace mail::store {

class Dotlock {
 public:
  /// Waits for at most `wait`, then temporary. A lock of a dead process of this host, or one not touched for two
  /// minutes, is broken.
  static Result<Dotlock> take(Disk& disk, const Directory& directory, std::string name,
                              std::chrono::milliseconds wait = std::chrono::seconds(30));
  Dotlock(Dotlock&& other) noexcept
      : disk_(std::exchange(other.disk_, nullptr)),
        directory_(other.directory_),
        name_(std::move(other.name_)),
        inode_(other.inode_) {}
  Dotlock& operator=(Dotlock&&) = delete;
  Dotlock(const Dotlock&) = delete;
  ~Dotlock();

 private:
  Dotlock(Disk& disk, const Directory& directory, std::string name, ino_t inode)
      : disk_(&disk), directory_(&directory), name_(std::move(name)), inode_(inode) {}
  Disk* disk_;
  const Directory* directory_;
  std::string name_;
  ino_t inode_;
};

}  // namespace mail::store
