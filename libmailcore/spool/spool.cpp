#include "spool/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mutex>
#include <set>

#include "base/log.h"
#include "base/strings.h"

namespace mail::spool {

namespace {

/// serve, relay and mda start at the same time: what another one has just made is made.
Status made(Status status) {
  if (!status && status.error().system == EEXIST) return {};
  return status;
}

/// Those who drop go through the spool's root. A daemon's umask has taken that from one that was just made, by us or by
/// somebody who was killed; what an operator has set on a spool that is in use stays.
Status let_through(const Directory& root) {
  constexpr mode_t kPrivate = 0700, kLetThrough = 0711;
  struct stat found {};
  const auto drop = std::string(name_of(Box::drop));
  if (::fstatat(root.fd(), drop.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) return {};
  if (::fstat(root.fd(), &found) != 0 || (found.st_mode & 07777) != kPrivate || found.st_uid != ::geteuid()) return {};
  return ::fchmod(root.fd(), kLetThrough) == 0 ? Status() : fail_errno("setting the mode of", root.path());
}

Result<Directory> open_root(Disk& disk, const std::string& path, bool create) {
  auto opened = disk.open_directory(path);
  if (opened || !create || opened.error().kind != Error::Kind::not_found) return opened;
  const auto slash = path.find_last_of('/');
  MAIL_TRY(parent, disk.open_directory(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash)));
  MAIL_CHECK(made(disk.make_directory(parent, path.substr(slash + 1), 0711)));
  MAIL_CHECK(disk.sync_directory(parent));
  return disk.open_directory(path);
}

std::string octal(unsigned mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%04o", mode);
  return text;
}

/// The box belongs to us, and only drop is open to others.
Status check_box(const Directory& directory, Box box) {
  struct stat found {};
  if (::fstat(directory.fd(), &found) != 0) return fail_errno("looking at", directory.path());
  const auto wanted = box == Box::drop ? kDropMode : kBoxMode;
  if (found.st_uid != ::geteuid() && ::geteuid() != 0)
    return fail(Error::Kind::refused,
                concat({directory.path(), " belongs to uid ", decimal(found.st_uid), ", not to uid ",
                        decimal(::geteuid()), ": run as its owner, or chown the spool"}));
  const auto mode = found.st_mode & 07777;
  const bool good =
      box == Box::drop ? (mode & ~03777U) == 0 && (mode & 044) == 0 && (mode & 01000) != 0 : (mode & 077) == 0;
  if (!good)
    return fail(Error::Kind::refused, concat({directory.path(), " has mode ", octal(mode), ": it must be ",
                                              octal(wanted), "; chmod ", octal(wanted), " ", directory.path()}));
  return {};
}

Result<Directory> open_box(Disk& disk, const Directory& root, Box box, bool create) {
  const std::string name(name_of(box));
  auto opened = disk.open_directory_at(root, name);
  if (!opened && create && opened.error().kind == Error::Kind::not_found) {
    MAIL_CHECK(made(disk.make_directory(root, name, kBoxMode)));
    MAIL_CHECK(disk.sync_directory(root));
    opened = disk.open_directory_at(root, name);
  }
  if (!opened) return opened;
  // mkdir(2) is subject to the umask, and we may have been killed between it and this.
  struct stat found {};
  if (create && box == Box::drop && ::fstat(opened->fd(), &found) == 0 && (found.st_mode & 07777) == kBoxMode &&
      found.st_uid == ::geteuid() && ::fchmod(opened->fd(), kDropMode) != 0)
    return fail_errno("setting the mode of", opened->path());
  MAIL_CHECK(check_box(*opened, box));
  return opened;
}

/// Whoever may only drop cannot read the directory: O_PATH is enough to create in it.
Result<Directory> open_drop(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail_errno("opening directory", path);
  return Directory(std::move(fd), path);
}

void name_unknown(const Directory& directory, const std::string& name) {
  static std::mutex mutex;
  static std::set<std::string> named;
  constexpr std::size_t kMostNamed = 1000;  // bounds the memory of a daemon whose spool is somebody's scratch directory
  const std::lock_guard lock(mutex);
  if (named.size() < kMostNamed && named.insert(directory.path() + "/" + name).second)
    log_event(LogLevel::warning, "unknown-file", {{"file", directory.path() + "/" + name}, {"action", "left alone"}});
}

}  // namespace

Result<Spool> Spool::open(const std::string& path, OpenOptions options, Disk& disk) {
  Spool spool(disk);
  if (options.drop_only) {
    auto& drop = spool.boxes_[static_cast<std::size_t>(Box::drop)];
    MAIL_TRY(opened, open_drop(concat({path, "/", name_of(Box::drop)})));
    drop = std::move(opened);
    return spool;
  }
  MAIL_TRY(root, open_root(disk, path, options.create));
  spool.root_ = std::move(root);
  if (options.create) MAIL_CHECK(let_through(spool.root_));
  for (std::size_t i = 0; i < kBoxNames.size(); ++i) {
    MAIL_TRY(opened, open_box(disk, spool.root_, static_cast<Box>(i), options.create));
    spool.boxes_[i] = std::move(opened);
  }
  return spool;
}

Status Spool::each(Box box, const std::function<void(const MessageId&)>& look) const {
  return disk_->each(directory(box), [&](std::string_view name) {
    if (const auto id = MessageId::parse(name))
      look(*id);
    else if (!name.ends_with(kLogSuffix) || !MessageId::parse(name.substr(0, name.size() - kLogSuffix.size())))
      name_unknown(directory(box), std::string(name));
  });
}

Result<std::vector<MessageId>> Spool::list(Box box) const {
  std::vector<MessageId> ids;
  MAIL_CHECK(each(box, [&](const MessageId& id) { ids.push_back(id); }));
  return ids;
}

bool Spool::exists(Box box, const MessageId& id) const {
  return ::faccessat(directory(box).fd(), id.text().c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace mail::spool
