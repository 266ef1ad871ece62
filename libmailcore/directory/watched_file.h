// Files of users, aliases and maps: looked at now and then, parsed again when they have changed.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/disk.h"
#include "base/result.h"
#include "sasl/password.h"

namespace mail::directory {

/// Tells whether a file is another one than when it was read.
struct FileStamp {
  ino_t inode = 0;
  off_t octets = -1;
  timespec modified{};
  static FileStamp of(const struct stat& status) { return {status.st_ino, status.st_size, status.st_mtim}; }
  bool operator==(const FileStamp& other) const {
    return inode == other.inode && octets == other.octets && modified.tv_sec == other.modified.tv_sec &&
           modified.tv_nsec == other.modified.tv_nsec;
  }
};

inline constexpr std::uint64_t kMostFileOctets = 256 << 20;  // a million users

/// A text file that is parsed again when it has changed; readers share the last good result.
template <class Table>
class WatchedFile {
 public:
  using Parse = std::function<Result<Table>(std::string_view text)>;
  WatchedFile(std::string path, Parse parse)
      : path_(std::move(path)), parse_(std::move(parse)), table_(std::make_shared<const Table>()) {}

  std::shared_ptr<const Table> table() const {
    const std::scoped_lock lock(mutex_);
    return table_;
  }
  const std::string& path() const { return path_; }
  bool loaded() const { return loaded_; }  ///< It could be read and understood at least once.

  /// Reads it where it is another file than before. On an error the former table stays. One thread at a time.
  Status refresh() {
    if (path_.empty()) return {};
    const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return fail_errno("open", path_);
    struct stat status {};
    if (fstat(fd.get(), &status) != 0) return fail_errno("stat", path_);
    if (!S_ISREG(status.st_mode)) return fail(Error::Kind::permanent, path_ + ": not a regular file");
    const auto stamp = FileStamp::of(status);
    if (stamp == stamp_) return {};
    MAIL_TRY(text, read_file(fd.get(), kMostFileOctets));
    // Being written while it was read: the next look finds it whole.
    if (fstat(fd.get(), &status) == 0 && !(FileStamp::of(status) == stamp))
      return fail(Error::Kind::temporary, path_ + ": changed while it was read");
    stamp_ = stamp;  // also of a file that cannot be understood: it is told once
    auto table = parse_(text);
    sasl::cleanse(text);
    if (!table) return tl::unexpected(std::move(table).error());
    auto shared = std::make_shared<const Table>(std::move(*table));
    const std::scoped_lock lock(mutex_);
    table_ = std::move(shared);
    loaded_ = true;
    return {};
  }

 private:
  std::string path_;
  Parse parse_;
  FileStamp stamp_;
  std::atomic<bool> loaded_{false};
  mutable std::mutex mutex_;
  std::shared_ptr<const Table> table_;
};

}  // namespace mail::directory
