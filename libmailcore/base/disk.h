// The seam to the disk: everything that must survive a power cut is written through it (spool, store, mda), so that
// tests can stop it after any call, make any call fail, and forget what was not synced. Reading hot paths may use file
// descriptors directly.
#pragma once
#include <sys/stat.h>
#include <functional>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace mail {

/// A held directory: names are resolved below its descriptor, never again from the root (threats: symlinks, rename
/// races).
class Directory {
 public:
  Directory() = default;
  Directory(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }  ///< For messages, and for FaultyDisk's bookkeeping.
  explicit operator bool() const { return static_cast<bool>(fd_); }

 private:
  UniqueFd fd_;
  std::string path_;
};

class Disk {
 public:
  virtual ~Disk() = default;
  static Disk& system();

  virtual Result<Directory> open_directory(const std::string& path) = 0;
  /// A directory below another one; a symbolic link is refused.
  virtual Result<Directory> open_directory_at(const Directory& parent, const std::string& name) = 0;
  /// openat(2) with O_CLOEXEC and O_NOFOLLOW added.
  virtual Result<UniqueFd> open(const Directory& directory, const std::string& name, int flags, mode_t mode = 0600) = 0;
  /// Writes all of it at the descriptor's position; a short write is an error.
  virtual Status write(int fd, std::string_view octets) = 0;
  virtual Status pwrite(int fd, std::string_view octets, std::uint64_t offset) = 0;
  virtual Status truncate(int fd, std::uint64_t octets) = 0;
  /// posix_fallocate(3): room is reserved, the size grows.
  virtual Status allocate(int fd, std::uint64_t offset, std::uint64_t octets) = 0;
  /// A failed sync is never repeated as if it could succeed: the kernel may have dropped the pages. The caller writes
  /// anew elsewhere or refuses.
  virtual Status sync(int fd) = 0;       // fsync
  virtual Status sync_data(int fd) = 0;  // fdatasync
  virtual Status sync_directory(const Directory& directory) = 0;
  virtual Status sync_filesystem(const Directory& directory) = 0;  // syncfs
  virtual Status close(UniqueFd fd) = 0;
  virtual Status rename(const Directory& from, const std::string& old_name, const Directory& to,
                        const std::string& new_name) = 0;
  virtual Status link(const Directory& from, const std::string& old_name, const Directory& to,
                      const std::string& new_name) = 0;
  virtual Status unlink(const Directory& directory, const std::string& name) = 0;
  virtual Status make_directory(const Directory& parent, const std::string& name, mode_t mode = 0700) = 0;
  virtual Status remove_directory(const Directory& parent, const std::string& name) = 0;

  Result<struct stat> stat(const Directory& directory, const std::string& name);  // lstat: never follows
  /// Calls `look` with each name but `.` and `..`, unsorted; the view is valid during the call. Holds 32 kB, however
  /// many there are.
  Status each(const Directory& directory, const std::function<void(std::string_view)>& look);
  /// As each(), all at once.
  Result<std::vector<std::string>> list(const Directory& directory);
};

/// The whole of an open file, from its start, at most `most` octets (more is `permanent`).
Result<std::string> read_file(int fd, std::uint64_t most = UINT64_MAX);
Result<std::string> read_file_at(const std::string& path, std::uint64_t most = UINT64_MAX);

}  // namespace mail
