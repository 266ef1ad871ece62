#include "spool/drop.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/strings.h"
#include "spool/reader.h"

namespace mail::spool {

namespace {

/// Makes the new name durable. Where drop may not be read it cannot be opened for fsync(2); then the whole file system
/// is synced through the file.
Status sync_name(const Spool& spool, UniqueFd file) {
  auto& disk = spool.disk();
  const auto& drop = spool.directory(Box::drop);
  if (disk.sync_directory(drop)) return {};
  return disk.sync_filesystem(Directory(std::move(file), drop.path()));
}

Status write_and_name(const Spool& spool, UniqueFd file, const std::string& temporary, const MessageId& id,
                      const std::string& octets) {
  auto& disk = spool.disk();
  const auto& directory = spool.directory(Box::drop);
  // The group is the spool's (setgid); a tight umask must not keep the relay from reading.
  if (::fchmod(file.get(), 0640) != 0) return fail_errno("setting the mode of", temporary);
  MAIL_CHECK(disk.write(file.get(), octets));
  MAIL_CHECK(disk.sync(file.get()));
  MAIL_CHECK(disk.rename(directory, temporary, directory, id.text()));
  auto named = sync_name(spool, std::move(file));
  if (!named) (void)disk.unlink(directory, id.text());
  return named;
}

}  // namespace

Status drop(const Spool& spool, const Envelope& envelope, std::string_view content) {
  auto& disk = spool.disk();
  const auto text = print(envelope);
  auto octets = first_line(text, content.size(), XXH3_64bits(content.data(), content.size()));
  octets.append(text).append(content);
  const auto temporary = "." + envelope.id.text();
  const auto& directory = spool.directory(Box::drop);
  MAIL_TRY(file, disk.open(directory, temporary, O_WRONLY | O_CREAT | O_EXCL, 0640));
  auto written = write_and_name(spool, std::move(file), temporary, envelope.id, octets);
  if (!written) (void)disk.unlink(directory, temporary);
  return written;
}

std::uint32_t drop_fingerprint(const struct stat& found) {
  const std::uint64_t parts[] = {found.st_ino, static_cast<std::uint64_t>(found.st_mtim.tv_sec),
                                 static_cast<std::uint64_t>(found.st_mtim.tv_nsec)};
  return static_cast<std::uint32_t>(XXH3_64bits(parts, sizeof parts)) & 0x7fffffffU;
}

Result<Dropped> read_drop(const Spool& spool, const std::string& name, std::uint64_t most_octets) {
  if (name.empty() || name[0] == '.') return fail(Error::Kind::not_found, "still being written");
  const auto& directory = spool.directory(Box::drop);
  UniqueFd file(::openat(directory.fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!file && errno == ELOOP) return fail(Error::Kind::refused, concat({"drop/", name, " is a symbolic link"}));
  if (!file) return fail_errno("opening", concat({directory.path(), "/", name}));
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return fail_errno("looking at", name);
  if (!S_ISREG(found.st_mode)) return fail(Error::Kind::refused, concat({"drop/", name, " is no regular file"}));
  if (found.st_nlink != 1) return fail(Error::Kind::refused, concat({"drop/", name, " has a second name"}));
  if (static_cast<std::uint64_t>(found.st_size) > most_octets)
    return fail(Error::Kind::refused, concat({"drop/", name, " is too large"}));
  MAIL_TRY(octets, read_file(file.get(), most_octets));
  MAIL_TRY(parsed, parse_file(octets));
  return Dropped{std::move(parsed.envelope), std::string(parsed.content), found.st_uid, drop_fingerprint(found)};
}

}  // namespace mail::spool
