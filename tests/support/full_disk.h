// The system's disk, which a test may declare to be full: then whatever needs a block fails with ENOSPC.
#pragma once
#include <fcntl.h>

#include <atomic>
#include <cerrno>

#include "base/disk.h"

namespace mail::test {

class FullDisk : public Disk {
 public:
  /// @param inodes  a file can still be made and linked: an inode is left where no block is
  explicit FullDisk(bool inodes = false) : inodes_(inodes) {}

  std::atomic<bool> full{false};

  Result<Directory> open_directory(const std::string& path) override { return real_.open_directory(path); }
  Result<Directory> open_directory_at(const Directory& parent, const std::string& name) override {
    return real_.open_directory_at(parent, name);
  }
  Result<UniqueFd> open(const Directory& directory, const std::string& name, int flags, mode_t mode) override {
    if (full && !inodes_ && (flags & O_CREAT) != 0 && !real_.stat(directory, name)) return no_room();
    return real_.open(directory, name, flags, mode);
  }
  Status write(int fd, std::string_view octets) override { return full ? no_room() : real_.write(fd, octets); }
  Status pwrite(int fd, std::string_view octets, std::uint64_t offset) override {
    return full ? no_room() : real_.pwrite(fd, octets, offset);
  }
  Status truncate(int fd, std::uint64_t octets) override { return real_.truncate(fd, octets); }
  Status allocate(int fd, std::uint64_t offset, std::uint64_t octets) override {
    return full ? no_room() : real_.allocate(fd, offset, octets);
  }
  Status sync(int fd) override { return real_.sync(fd); }
  Status sync_data(int fd) override { return real_.sync_data(fd); }
  Status sync_directory(const Directory& directory) override { return real_.sync_directory(directory); }
  Status sync_filesystem(const Directory& directory) override { return real_.sync_filesystem(directory); }
  Status close(UniqueFd fd) override { return real_.close(std::move(fd)); }
  Status rename(const Directory& from, const std::string& old_name, const Directory& to,
                const std::string& new_name) override {
    return real_.rename(from, old_name, to, new_name);
  }
  Status link(const Directory& from, const std::string& old_name, const Directory& to,
              const std::string& new_name) override {
    return full && !inodes_ ? no_room() : real_.link(from, old_name, to, new_name);
  }
  Status unlink(const Directory& directory, const std::string& name) override { return real_.unlink(directory, name); }
  Status make_directory(const Directory& parent, const std::string& name, mode_t mode) override {
    return full ? no_room() : real_.make_directory(parent, name, mode);
  }
  Status remove_directory(const Directory& parent, const std::string& name) override {
    return real_.remove_directory(parent, name);
  }

 private:
  static tl::unexpected<Error> no_room() { return fail_errno("writing", "the disk", ENOSPC); }
  const bool inodes_;
  Disk& real_ = Disk::system();
};

}  // namespace mail::test
