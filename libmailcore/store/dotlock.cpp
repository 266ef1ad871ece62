#include "store/dotlock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

/// True where the process named in the lock lived on this host and is gone.
bool owner_is_dead(Disk& disk, const Directory& directory, const std::string& name) {
  auto fd = disk.open(directory, name, O_RDONLY);
  if (!fd) return false;
  const auto text = read_file(fd->get(), 1024);
  if (!text) return false;
  const auto [pid, where] = split_once(*text, ':');
  const auto number = parse_decimal<int>(trim(pid));
  if (!number || *number <= 0 || trim(where) != host()) return false;
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
      const auto wrote = disk.write(fd->get(), concat({decimal(::getpid()), ":", host()}));
      (void)disk.close(std::move(*fd));
      if (!wrote) {
        (void)disk.unlink(directory, name);
        return tl::unexpected(wrote.error());
      }
      return Dotlock(disk, directory, std::move(name));
    }
    if (fd.error().system != EEXIST) return tl::unexpected(std::move(fd).error());
    if (const auto found = disk.stat(directory, name)) {
      const auto age = ::time(nullptr) - found->st_mtime;
      // A lock file is empty for a moment after it was made: only a written owner can be found dead.
      if (age > kStaleAfter.count() || owner_is_dead(disk, directory, name))
        break_lock(disk, directory, name, found->st_ino);
    }
    if (std::chrono::steady_clock::now() - start > wait)
      return fail(Error::Kind::temporary, concat({"waiting for the lock ", directory.path(), "/", name}));
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(20000));
  }
}

Dotlock::~Dotlock() {
  if (disk_ != nullptr) (void)disk_->unlink(*directory_, name_);
}

}  // namespace mail::store
