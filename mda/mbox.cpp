#include "mda/mbox.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <thread>

#include "base/strings.h"

namespace mail::mda {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPause{20};

/// `NAME.lock`. In a directory where we may not write (/var/mail without group mail) there is only the fcntl lock, as
/// procmail does it.
class DotLock {
 public:
  DotLock(Disk& disk, const Directory& directory, std::string name)
      : disk_(disk), directory_(directory), name_(std::move(name)) {}
  ~DotLock() {
    if (held_) static_cast<void>(disk_.unlink(directory_, name_));
  }
  Status lock(const MboxOptions& options, SteadyClock::time_point end) {
    for (;;) {
      auto fd = disk_.open(directory_, name_, O_WRONLY | O_CREAT | O_EXCL, 0444);
      if (fd) {
        held_ = true;
        // Other programs look whether the process lives.
        MAIL_CHECK(disk_.write(fd->get(), decimal(getpid()) + "\n"));
        return disk_.close(std::move(*fd));
      }
      if (fd.error().system == EACCES || fd.error().system == EROFS || fd.error().system == EPERM) return {};
      if (fd.error().system != EEXIST) return tl::unexpected(std::move(fd).error());
      if (const auto found = disk_.stat(directory_, name_);
          found && std::time(nullptr) - found->st_mtime > options.stale_lock.count()) {
        static_cast<void>(disk_.unlink(directory_, name_));
        continue;
      }
      if (SteadyClock::now() >= end)
        return fail(Error::Kind::temporary, concat({directory_.path(), "/", name_, ": locked by another program"}));
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  Disk& disk_;
  const Directory& directory_;
  std::string name_;
  bool held_ = false;
};

Status lock_file(int fd, const std::string& path, SteadyClock::time_point end) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  // The lock of this open file: threads of one process exclude each other too.
  while (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) return fail_errno("lock", path);
    if (SteadyClock::now() >= end) return fail(Error::Kind::temporary, path + ": locked by another program");
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

/// What has to stand between the last message and the next one: each ends with an empty line.
std::string_view separator(int fd, off_t octets) {
  if (octets == 0) return "";
  char last[2] = {'x', 'x'};
  const auto wanted = static_cast<std::size_t>(octets < 2 ? 1 : 2);
  if (pread(fd, last + 2 - wanted, wanted, octets - static_cast<off_t>(wanted)) != static_cast<ssize_t>(wanted))
    return "\n\n";
  if (last[0] == '\n' && last[1] == '\n') return "";
  return last[1] == '\n' ? "\n" : "\n\n";
}

}  // namespace

Status append_mbox(Disk& disk, const std::string& path, std::string_view entry, const MboxOptions& options) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos || slash + 1 == path.size())
    return fail(Error::Kind::permanent, path + ": not the path of a file");
  const auto name = path.substr(slash + 1);
  MAIL_TRY(directory, disk.open_directory(path.substr(0, slash == 0 ? 1 : slash)));
  const auto end = SteadyClock::now() + options.lock_time;
  DotLock dot_lock(disk, directory, name + ".lock");
  MAIL_CHECK(dot_lock.lock(options, end));
  const bool existed = disk.stat(directory, name).has_value();
  MAIL_TRY(fd, disk.open(directory, name, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK, options.mode));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat", path);
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1)
    return fail(Error::Kind::refused, path + ": not a regular file with one link");
  MAIL_CHECK(lock_file(fd.get(), path, end));
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat", path);
  auto written = disk.write(fd.get(), concat({separator(fd.get(), status.st_size), entry}));
  if (written) written = disk.sync(fd.get());
  if (written && !existed) written = disk.sync_directory(directory);
  if (!written) {
    // Nobody has seen the rest of it: the locks are still held.
    static_cast<void>(disk.truncate(fd.get(), static_cast<std::uint64_t>(status.st_size)));
    return written;
  }
  return disk.close(std::move(fd));
}

}  // namespace mail::mda
