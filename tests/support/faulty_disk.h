// A disk that loses power after any call, or makes any call fail: what the crash tests of spool, store and mda stand on
// (as google/leveldb's fault injection). It works on real files below a temporary directory and remembers what was
// synced.
#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/disk.h"

namespace mail::test {

/// What of the unsynced survives the loss of power. A real disk may do any of these.
enum class Loss {
  all,   ///< Neither content nor names that were not synced.
  data,  ///< Names and truncations are there, unsynced content is not (a journalling file system that orders nothing).
  half_data,  ///< Names are there; of changed files the first half of the octets is new, the second half old: torn
              ///< writes.
};

/// Thread-safe. Directories and files that are there at construction count as durable.
class FaultyDisk final : public Disk {
 public:
  static constexpr int kNever = 1 << 30;

  /// @param root   the directory below which all happens
  /// @param calls  so many calls succeed
  /// @param error  0: then the power is out, the next call does half of its work if it is a write, and all later ones
  /// fail (EIO);
  ///               else: the one call after them fails with this errno and does nothing, and the disk goes on
  explicit FaultyDisk(const std::string& root, int calls = kNever, int error = 0);
  ~FaultyDisk() override;

  bool stopped() const;  ///< The power is out (or, with an error, the call has failed).
  int calls() const;     ///< Made so far.
  void heal();           ///< No call fails from now on.
  /// From now on directories that do not lie in the same one are on different file systems: EXDEV between them.
  void split();
  /// From now on rename() into a directory of that path fails with ENOSPC; empty: into none.
  void refuse_names_in(const std::string& path);
  void cut_power();  ///< From now on every call fails (a process that is killed): its objects can be taken down before
                     ///< lose_power().
  /// Brings the tree to what is durable, and the power back. Whatever has files open must be gone before.
  void lose_power(Loss loss = Loss::all);

  Result<Directory> open_directory(const std::string& path) override;
  Result<Directory> open_directory_at(const Directory& parent, const std::string& name) override;
  Result<UniqueFd> open(const Directory& directory, const std::string& name, int flags, mode_t mode = 0600) override;
  Status write(int fd, std::string_view octets) override;
  Status pwrite(int fd, std::string_view octets, std::uint64_t offset) override;
  Status truncate(int fd, std::uint64_t octets) override;
  Status allocate(int fd, std::uint64_t offset, std::uint64_t octets) override;
  Status sync(int fd) override;
  Status sync_data(int fd) override;
  Status sync_directory(const Directory& directory) override;
  Status sync_filesystem(const Directory& directory) override;
  Status close(UniqueFd fd) override;
  Status rename(const Directory& from, const std::string& old_name, const Directory& to,
                const std::string& new_name) override;
  Status link(const Directory& from, const std::string& old_name, const Directory& to,
              const std::string& new_name) override;
  Status unlink(const Directory& directory, const std::string& name) override;
  Status make_directory(const Directory& parent, const std::string& name, mode_t mode = 0700) override;
  Status remove_directory(const Directory& parent, const std::string& name) override;

 private:
  using Inode = unsigned long long;
  struct Node {
    UniqueFd hold;  // keeps the inode number from being given to another file
    bool directory = false;
    std::string content;                 // durable, of a file
    std::map<std::string, Inode> names;  // durable, of a directory
  };
  enum class Turn { go, half, refuse };
  Turn turn();
  Status refused(std::string_view what) const;
  Inode know(int fd, bool durable);  // starts to track what is open there
  void learn_tree(int directory);
  void snapshot(int fd);
  void snapshot_tree(int directory);
  void restore(int directory, const Node& node, Loss loss);

  std::string root_;
  int left_;
  int error_;
  mutable std::mutex mutex_;
  int calls_ = 0;
  bool stopped_ = false;
  bool split_ = false;
  std::string refused_;  // directory that takes no names
  bool apart(const Directory& from, const Directory& to) const;
  std::map<Inode, Node> nodes_;
};

}  // namespace mail::test
