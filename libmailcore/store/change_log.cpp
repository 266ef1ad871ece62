#include "store/change_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/strings.h"
#include "store/octets.h"

namespace mail::store {

namespace {

const std::string kSnapshot = "relais.index", kLog = "relais.log", kOldLog = "relais.log.1", kLockFile = "relais.lock";
const std::string kSnapshotTemporary = "relais.index.tmp", kLogTemporary = "relais.log.tmp";
constexpr std::string_view kMagic = "RELAISL1";

}  // namespace

std::string format_log_header(const LogHeader& header) {
  std::string out(kMagic);
  put(out, header.generation);
  put(out, header.position);
  put(out, header.modseq);
  put(out, header.uid_validity);
  put(out, std::uint32_t{0});
  auto guid = header.guid;
  guid.resize(32, ' ');
  out += guid;
  put(out, XXH3_64bits(out.data(), out.size()));
  out.resize(kLogHeaderOctets, '\0');
  return out;
}

Result<LogHeader> parse_log_header(std::string_view octets) {
  const auto damaged = [] { return fail(Error::Kind::syntax, "the index log is damaged or of another version"); };
  if (octets.size() < kLogHeaderOctets || !octets.starts_with(kMagic)) return damaged();
  Reader in(octets.substr(8));
  LogHeader out;
  out.generation = in.get<std::uint64_t>();
  out.position = in.get<std::uint64_t>();
  out.modseq = in.get<ModSeq>();
  out.uid_validity = in.get<UidValidity>();
  in.get<std::uint32_t>();
  out.guid = std::string(trim(in.take(32)));
  if (in.get<std::uint64_t>() != XXH3_64bits(octets.data(), 72)) return damaged();
  return out;
}

IndexLock::~IndexLock() {
  if (fd_ >= 0) ::flock(fd_, LOCK_UN);
}

Result<IndexLock> ChangeLog::lock() {
  if (!lock_fd_) {
    MAIL_TRY(fd, disk_.open(directory_, kLockFile, O_RDWR | O_CREAT, 0600));
    lock_fd_ = std::move(fd);
  }
  while (::flock(lock_fd_.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno("locking the index of", directory_.path());
  return IndexLock(lock_fd_.get());
}

Result<LogHeader> ChangeLog::open_log(const std::string& name, UniqueFd& fd) {
  MAIL_TRY(opened, disk_.open(directory_, name, O_RDWR));
  fd = std::move(opened);
  char octets[kLogHeaderOctets];
  const auto got = ::pread(fd.get(), octets, sizeof octets, 0);
  if (got < 0) return fail_errno("reading the index log of", directory_.path());
  return parse_log_header({octets, static_cast<std::size_t>(got)});
}

Result<std::uint64_t> ChangeLog::read_records(int fd, std::uint64_t from, Image& image) {
  struct stat found {};
  if (::fstat(fd, &found) != 0) return fail_errno("reading the index log of", directory_.path());
  if (static_cast<std::uint64_t>(found.st_size) <= from) return from;
  std::string octets(static_cast<std::size_t>(found.st_size) - static_cast<std::size_t>(from), '\0');
  std::size_t got = 0;
  while (got < octets.size()) {
    const auto n = ::pread(fd, octets.data() + got, octets.size() - got, static_cast<off_t>(from + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading the index log of", directory_.path());
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  std::string_view rest(octets.data(), got);
  // What is not whole is the torn end of a writer that died: the next writer overwrites it.
  while (const auto record = take_record(rest)) image.apply(*record);
  return from + (got - rest.size());
}

Status ChangeLog::load(Image& image) {
  image = Image();
  UniqueFd fd, old_fd;
  auto log = open_log(kLog, fd);
  auto snapshot_fd = disk_.open(directory_, kSnapshot, O_RDONLY);
  if (!log) {
    if (log.error().kind == Error::Kind::not_found && !snapshot_fd) return fail(Error::Kind::not_found, "no index");
    return fail(log.error().kind == Error::Kind::not_found ? Error::Kind::syntax : log.error().kind, log.error().text);
  }
  std::uint64_t from = kLogHeaderOctets;
  snapshot_octets_ = 0;
  if (snapshot_fd) {
    MAIL_TRY(octets, read_file(snapshot_fd->get()));
    MAIL_TRY(loaded, Image::parse(octets));
    image = std::move(loaded.image);
    snapshot_octets_ = octets.size();
    if (loaded.generation == log->generation) {
      from = loaded.log_octets;
    } else if (loaded.generation + 1 == log->generation) {
      // A crash between giving the new log and the new snapshot their names: the old log has what is missing.
      const auto old = open_log(kOldLog, old_fd);
      if (!old || old->generation != loaded.generation)
        return fail(Error::Kind::syntax, "snapshot and log do not belong together");
      MAIL_CHECK(read_records(old_fd.get(), loaded.log_octets, image));
      if (image.modseq_highest != log->modseq)
        return fail(Error::Kind::syntax, "snapshot and log do not belong together");
    } else {
      return fail(Error::Kind::syntax, "snapshot and log do not belong together");
    }
  } else {
    return fail(Error::Kind::syntax, "the snapshot is missing");
  }
  struct stat found {};
  if (::fstat(fd.get(), &found) != 0) return fail_errno("reading the index log of", directory_.path());
  if (from > static_cast<std::uint64_t>(found.st_size)) return fail(Error::Kind::syntax, "the index log was cut");
  MAIL_TRY(end, read_records(fd.get(), from, image));
  read_ = end;
  set_fd(std::move(fd));
  inode_ = found.st_ino;
  header_ = *log;
  return {};
}

bool ChangeLog::behind() const {
  struct stat found {};
  if (::fstatat(directory_.fd(), kLog.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return true;
  return found.st_ino != inode_ || static_cast<std::uint64_t>(found.st_size) != read_;
}

Result<bool> ChangeLog::catch_up(Image& image) {
  struct stat found {};
  if (!fd_ || ::fstatat(directory_.fd(), kLog.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (found.st_ino == inode_) {
    if (static_cast<std::uint64_t>(found.st_size) < read_) return false;
    MAIL_TRY(end, read_records(fd_->get(), read_, image));
    read_ = end;
    return true;
  }
  // Another process wrote a new snapshot and log. The old log is final: its rest brings this image to where the new one
  // begins.
  MAIL_TRY(rest, read_records(fd_->get(), read_, image));
  read_ = rest;
  const auto position = header_.position + rest - kLogHeaderOctets;
  UniqueFd fd;
  const auto log = open_log(kLog, fd);
  if (!log || log->position != position || log->uid_validity != image.uid_validity ||
      log->modseq != image.modseq_highest)
    return false;
  set_fd(std::move(fd));
  inode_ = found.st_ino;
  header_ = *log;
  read_ = kLogHeaderOctets;
  if (const auto snapshot = disk_.stat(directory_, kSnapshot))
    snapshot_octets_ = static_cast<std::uint64_t>(snapshot->st_size);
  MAIL_TRY(end, read_records(fd_->get(), read_, image));
  read_ = end;
  return true;
}

Status ChangeLog::append(std::string_view records) {
  if (records.empty()) return {};
  struct stat found {};
  if (::fstat(fd_->get(), &found) != 0) return fail_errno("writing the index log of", directory_.path());
  if (static_cast<std::uint64_t>(found.st_size) > read_) MAIL_CHECK(disk_.truncate(fd_->get(), read_));
  const auto wrote = disk_.pwrite(fd_->get(), records, read_);
  if (!wrote) {
    (void)disk_.truncate(fd_->get(), read_);
    return wrote;
  }
  read_ += records.size();
  return {};
}

Status ChangeLog::flush() {
  return flushes_.run([this]() -> Status {
    std::shared_ptr<UniqueFd> fd;
    {
      std::lock_guard lock(fd_mutex_);
      fd = fd_;
    }
    return fd ? disk_.sync_data(fd->get()) : Status{};
  });
}

void ChangeLog::set_fd(UniqueFd fd) {
  std::lock_guard lock(fd_mutex_);
  fd_ = std::make_shared<UniqueFd>(std::move(fd));
}

Status ChangeLog::rewrite(const Image& image) {
  LogHeader header;
  header.generation = header_.generation + 1;
  header.position = header_.position + (fd_ ? read_ - kLogHeaderOctets : 0);
  header.modseq = image.modseq_highest;
  header.uid_validity = image.uid_validity;
  header.guid = image.guid;
  const auto write_new = [&](const std::string& name, std::string_view octets) -> Result<UniqueFd> {
    MAIL_TRY(fd, disk_.open(directory_, name, O_RDWR | O_CREAT | O_TRUNC, 0600));
    MAIL_CHECK(disk_.write(fd.get(), octets));
    MAIL_CHECK(disk_.sync(fd.get()));
    return std::move(fd);
  };
  MAIL_TRY(snapshot, write_new(kSnapshotTemporary, image.snapshot(header.generation, kLogHeaderOctets)));
  MAIL_TRY(log, write_new(kLogTemporary, format_log_header(header)));
  if (fd_) {
    (void)disk_.unlink(directory_, kOldLog);
    MAIL_CHECK(disk_.sync_data(fd_->get()));
    MAIL_CHECK(disk_.link(directory_, kLog, directory_, kOldLog));
  }
  MAIL_CHECK(disk_.rename(directory_, kLogTemporary, directory_, kLog));
  MAIL_CHECK(disk_.rename(directory_, kSnapshotTemporary, directory_, kSnapshot));
  MAIL_CHECK(disk_.sync_directory(directory_));
  (void)disk_.unlink(directory_, kOldLog);
  struct stat found {};
  if (::fstat(log.get(), &found) != 0) return fail_errno("writing the index log of", directory_.path());
  inode_ = found.st_ino;
  header_ = header;
  read_ = kLogHeaderOctets;
  set_fd(std::move(log));
  if (::fstat(snapshot.get(), &found) == 0) snapshot_octets_ = static_cast<std::uint64_t>(found.st_size);
  return {};
}

}  // namespace mail::store
