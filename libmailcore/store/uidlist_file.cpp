#include "store/uidlist_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"

namespace mail::store {

namespace {

/// A list larger than this is not read: 20 million messages.
constexpr std::uint64_t kListMost = 2ULL << 30;

}  // namespace

void stamp_uidlist(const Directory& mailbox, Stamp& stamp, bool locked) {
  struct stat found {};
  const std::string name(kUidlist);
  if (locked) {  // opening a file asks the server (NFS: close-to-open)
    const UniqueFd fd(::openat(mailbox.fd(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd || ::fstat(fd.get(), &found) != 0) found = {};
  } else if (::fstatat(mailbox.fd(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
    found = {};
  }
  stamp.list_time = std::int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec;
  stamp.list_octets = static_cast<std::uint64_t>(found.st_size);
  stamp.list_inode = found.st_ino;
}

bool same_list(const Stamp& a, const Stamp& b) {
  return a.list_time == b.list_time && a.list_octets == b.list_octets && a.list_inode == b.list_inode;
}

bool same_directories(const Stamp& a, const Stamp& b) { return a.new_time == b.new_time && a.cur_time == b.cur_time; }

Result<std::string> read_uidlist(Disk& disk, const Directory& mailbox, bool courier) {
  MAIL_TRY(fd, disk.open(mailbox, std::string(courier ? kCourierUids : kUidlist), O_RDONLY));
  return read_file(fd.get(), kListMost);
}

std::optional<std::string> read_uidlist_rest(Disk& disk, const Directory& mailbox, const Stamp& known) {
  if (known.list_octets == 0) return std::nullopt;
  const auto fd = disk.open(mailbox, std::string(kUidlist), O_RDONLY);
  struct stat found {};
  if (!fd || ::fstat(fd->get(), &found) != 0 || found.st_ino != known.list_inode) return std::nullopt;
  const auto size = static_cast<std::uint64_t>(found.st_size);
  if (size <= known.list_octets || size > kListMost) return std::nullopt;  // cut, or changed in place
  const auto from = known.list_octets - 1;
  std::string out(static_cast<std::size_t>(size - from), '\0');
  const auto got = ::pread(fd->get(), out.data(), out.size(), static_cast<off_t>(from));
  if (got != static_cast<ssize_t>(out.size()) || out.front() != '\n') return std::nullopt;
  return out.substr(1);
}

Result<UidlistHeader> read_uidlist_header(Disk& disk, const Directory& mailbox) {
  MAIL_TRY(fd, disk.open(mailbox, std::string(kUidlist), O_RDONLY));
  char text[512];
  const auto got = ::pread(fd.get(), text, sizeof text, 0);
  if (got < 0) return fail_errno("reading dovecot-uidlist in", mailbox.path());
  const std::string_view octets(text, static_cast<std::size_t>(got));
  const auto end = octets.find('\n');
  if (end == std::string_view::npos) return fail(Error::Kind::syntax, "dovecot-uidlist: no header");
  return parse_uidlist_header(octets.substr(0, end));
}

Status append_uidlist(Disk& disk, const Directory& mailbox, std::string_view lines, bool flush) {
  MAIL_TRY(fd, disk.open(mailbox, std::string(kUidlist), O_RDWR));
  struct stat found {};
  if (::fstat(fd.get(), &found) != 0) return fail_errno("writing dovecot-uidlist in", mailbox.path());
  auto end = static_cast<std::uint64_t>(found.st_size);
  char last = '\n';
  if (end > 0 && ::pread(fd.get(), &last, 1, static_cast<off_t>(end - 1)) != 1)
    return fail_errno("writing dovecot-uidlist in", mailbox.path());
  if (last != '\n') {
    MAIL_TRY(text, read_file(fd.get(), kListMost));
    const auto lf = text.rfind('\n');
    end = lf == std::string::npos ? 0 : lf + 1;
    MAIL_CHECK(disk.truncate(fd.get(), end));
  }
  const auto wrote = disk.pwrite(fd.get(), lines, end);
  if (!wrote) {
    (void)disk.truncate(fd.get(), end);
    return wrote;
  }
  if (flush) MAIL_CHECK(disk.sync_data(fd.get()));
  return disk.close(std::move(fd));
}

Status write_uidlist(Disk& disk, const Directory& mailbox, std::string_view text, bool flush) {
  return replace_file(disk, mailbox, std::string(kUidlist), text, flush);
}

Status replace_file(Disk& disk, const Directory& directory, const std::string& name, std::string_view text,
                    bool flush) {
  const auto temporary = name + ".tmp";
  const auto write = [&]() -> Status {
    MAIL_TRY(fd, disk.open(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    MAIL_CHECK(disk.write(fd.get(), text));
    if (flush) MAIL_CHECK(disk.sync(fd.get()));
    MAIL_CHECK(disk.close(std::move(fd)));
    MAIL_CHECK(disk.rename(directory, temporary, directory, name));
    if (flush) return disk.sync_directory(directory);
    return {};
  };
  auto status = write();
  if (!status) (void)disk.unlink(directory, temporary);
  return status;
}

std::vector<std::string> read_keywords(Disk& disk, const Directory& mailbox) {
  const auto fd = disk.open(mailbox, std::string(kKeywords), O_RDONLY);
  if (!fd) return {};
  const auto text = read_file(fd->get(), 1 << 20);
  return text ? parse_keywords(*text) : std::vector<std::string>{};
}

Status write_keywords(Disk& disk, const Directory& mailbox, const std::vector<std::string>& names) {
  return replace_file(disk, mailbox, std::string(kKeywords), format_keywords(names));
}

}  // namespace mail::store
