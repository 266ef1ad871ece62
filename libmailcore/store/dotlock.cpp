#include "store/dotlock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mutex>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/strings.h"

namespace mail::store {

namespace {

/// As MAILDIR_UIDLIST_LOCK_STALE_TIMEOUT of Dovecot.
constexpr auto kStaleAfter = std::chrono::seconds(120);

const std::string& host() {
  static const std::string name = [] {
    char text[256] = {};
    return ::gethostname(text, sizeof text - 1) == 0 ? std::string(text) : std::string("localhost");
  }();
  return name;
}

/// The inodes of the locks that this process holds: one with our own number that is not among them is of a dead process
/// that had it before.
struct Held {
  std::mutex mutex;
  std::multiset<ino_t> inodes;
};
Held& held() {
  static Held all;
  return all;
}

bool is_ours(ino_t inode) {
  std::lock_guard lock(held().mutex);
  return held().inodes.count(inode) != 0;
}

/// True where the process named in the lock lived on this host and is gone.
bool owner_is_dead(Disk& disk, const Directory& directory, const std::string& name, ino_t inode) {
  auto fd = disk.open(directory, name, O_RDONLY);
  if (!fd) return false;
  const auto text = read_file(fd->get(), 1024);
  if (!text) return false;
  const auto [pid, where] = split_once(*text, ':');
  const auto number = parse_decimal<int>(trim(pid));
  if (!number || *number <= 0 || trim(where) != host()) return false;
  if (*number == ::getpid()) return !is_ours(inode);
  return ::kill(*number, 0) != 0 && errno == ESRCH;
}

/// Takes a stale lock away. It is first renamed, and put back where it turns out that another process was quicker.
void break_lock(Disk& disk, const Directory& directory, const std::string& name, ino_t stale) {
  const auto aside = concat({name, ".", decimal(::getpid()), ".", decimal(stale)});
  if (!disk.rename(directory, name, directory, aside)) return;
  const auto found = disk.stat(directory, aside);
  if (found && found->st_ino != stale) (void)disk.link(directory, aside, directory, name);
  (void)disk.unlink(directory, aside);
  log_event(LogLevel::warning, "lock-broken", {{"lock", concat({directory.path(), "/", name})}});
}

}  // namespace

Result<Dotlock> Dotlock::take(Disk& disk, const Directory& directory, std::string name,
                              std::chrono::milliseconds wait) {
  const auto start = std::chrono::steady_clock::now();
  auto pause = std::chrono::microseconds(100);
  for (;;) {
    auto fd = disk.open(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd) {
      struct stat made {};
      if (::fstat(fd->get(), &made) != 0) return fail_errno("locking", name);
      {
        std::lock_guard lock(held().mutex);
        held().inodes.insert(made.st_ino);
      }
      const auto wrote = disk.write(fd->get(), concat({decimal(::getpid()), ":", host()}));
      (void)disk.close(std::move(*fd));
      Dotlock lock(disk, directory, std::move(name), made.st_ino);
      if (!wrote) return tl::unexpected(wrote.error());  // full disk: the lock goes again
      return lock;
    }
    if (fd.error().system != EEXIST) return tl::unexpected(std::move(fd).error());
    if (const auto found = disk.stat(directory, name)) {
      const auto age = ::time(nullptr) - found->st_mtime;
      // A lock file is empty for a moment after it was made: only a written owner can be found dead.
      if (age > kStaleAfter.count() || owner_is_dead(disk, directory, name, found->st_ino))
        break_lock(disk, directory, name, found->st_ino);
    }
    if (std::chrono::steady_clock::now() - start > wait)
      return fail(Error::Kind::temporary, concat({"waiting for the lock ", directory.path(), "/", name}));
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(20000));
  }
}

Dotlock::~Dotlock() {
  if (disk_ == nullptr) return;
  // Broken by another one after a long time, it may be a lock of somebody else by now.
  if (const auto found = disk_->stat(*directory_, name_); found && found->st_ino == inode_)
    (void)disk_->unlink(*directory_, name_);
  std::lock_guard lock(held().mutex);
  const auto found = held().inodes.find(inode_);
  if (found != held().inodes.end()) held().inodes.erase(found);
}

}  // namespace mail::store
