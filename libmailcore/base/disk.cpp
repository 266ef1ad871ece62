#include "base/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/strings.h"

namespace mail {

namespace {

std::string in(const Directory& directory, const std::string& name) { return concat({directory.path(), "/", name}); }

class SystemDisk final : public Disk {
 public:
  Result<Directory> open_directory(const std::string& path) override {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno("opening directory", path);
    return Directory(std::move(fd), path);
  }
  Result<Directory> open_directory_at(const Directory& parent, const std::string& name) override {
    UniqueFd fd(::openat(parent.fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return fail_errno("opening directory", in(parent, name));
    return Directory(std::move(fd), in(parent, name));
  }
  Result<UniqueFd> open(const Directory& directory, const std::string& name, int flags, mode_t mode) override {
    UniqueFd fd(::openat(directory.fd(), name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd) return fail_errno("opening", in(directory, name));
    return fd;
  }
  Status write(int fd, std::string_view octets) override {
    while (!octets.empty()) {
      const auto wrote = ::write(fd, octets.data(), octets.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return fail_errno("writing");
      octets.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return {};
  }
  Status pwrite(int fd, std::string_view octets, std::uint64_t offset) override {
    while (!octets.empty()) {
      const auto wrote = ::pwrite(fd, octets.data(), octets.size(), static_cast<off_t>(offset));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return fail_errno("writing");
      octets.remove_prefix(static_cast<std::size_t>(wrote));
      offset += static_cast<std::uint64_t>(wrote);
    }
    return {};
  }
  Status truncate(int fd, std::uint64_t octets) override {
    return done(::ftruncate(fd, static_cast<off_t>(octets)), "truncating");
  }
  Status allocate(int fd, std::uint64_t offset, std::uint64_t octets) override {
    const int error = ::posix_fallocate(fd, static_cast<off_t>(offset), static_cast<off_t>(octets));
    if (error != 0) return fail_errno("reserving room on disk", {}, error);
    return {};
  }
  Status sync(int fd) override { return done(::fsync(fd), "syncing"); }
  Status sync_data(int fd) override { return done(::fdatasync(fd), "syncing"); }
  Status sync_directory(const Directory& directory) override {
    return done(::fsync(directory.fd()), "syncing directory", directory.path());
  }
  Status sync_filesystem(const Directory& directory) override {
    return done(::syncfs(directory.fd()), "syncing the file system of", directory.path());
  }
  Status close(UniqueFd fd) override { return done(::close(fd.release()), "closing"); }
  Status rename(const Directory& from, const std::string& old_name, const Directory& to,
                const std::string& new_name) override {
    return done(::renameat(from.fd(), old_name.c_str(), to.fd(), new_name.c_str()), "renaming", from, old_name);
  }
  Status link(const Directory& from, const std::string& old_name, const Directory& to,
              const std::string& new_name) override {
    return done(::linkat(from.fd(), old_name.c_str(), to.fd(), new_name.c_str(), 0), "linking", from, old_name);
  }
  Status unlink(const Directory& directory, const std::string& name) override {
    return done(::unlinkat(directory.fd(), name.c_str(), 0), "removing", directory, name);
  }
  Status make_directory(const Directory& parent, const std::string& name, mode_t mode) override {
    return done(::mkdirat(parent.fd(), name.c_str(), mode), "making directory", parent, name);
  }
  Status remove_directory(const Directory& parent, const std::string& name) override {
    return done(::unlinkat(parent.fd(), name.c_str(), AT_REMOVEDIR), "removing directory", parent, name);
  }

 private:
  static Status done(int returned, std::string_view what, std::string_view where = {}) {
    if (returned != 0) return fail_errno(what, where);
    return {};
  }
  static Status done(int returned, std::string_view what, const Directory& directory, const std::string& name) {
    if (returned != 0) return fail_errno(what, in(directory, name));
    return {};
  }
};

}  // namespace

Disk& Disk::system() {
  static SystemDisk disk;
  return disk;
}

Result<struct stat> Disk::stat(const Directory& directory, const std::string& name) {
  struct stat found {};
  if (::fstatat(directory.fd(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("looking at", in(directory, name));
  return found;
}

Status Disk::each(const Directory& directory, const std::function<void(std::string_view)>& look) {
  // A second open file description: the held one keeps its own position.
  const int fd = ::openat(directory.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno("listing", directory.path());
  DIR* stream = ::fdopendir(fd);
  if (stream == nullptr) {
    const int error = errno;
    ::close(fd);
    return fail_errno("listing", directory.path(), error);
  }
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") look(name);
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return fail_errno("listing", directory.path(), error);
  return {};
}

Result<std::vector<std::string>> Disk::list(const Directory& directory) {
  std::vector<std::string> names;
  MAIL_CHECK(each(directory, [&](std::string_view name) { names.emplace_back(name); }));
  return names;
}

Result<std::string> read_file(int fd, std::uint64_t most) {
  struct stat found {};
  if (::fstat(fd, &found) != 0) return fail_errno("reading");
  std::string out;
  if (S_ISREG(found.st_mode)) out.reserve(static_cast<std::size_t>(found.st_size) + 1);
  std::uint64_t offset = 0;
  for (;;) {
    // What was reserved has room for the octet that tells the end: growing would copy all of a large file.
    const auto left = out.capacity() - out.size();
    const auto room = left != 0 ? left : std::size_t{16384};
    const auto old = out.size();
    out.resize(old + room);
    const auto got = S_ISREG(found.st_mode) ? ::pread(fd, out.data() + old, room, static_cast<off_t>(offset))
                                            : ::read(fd, out.data() + old, room);
    if (got < 0 && errno != EINTR) return fail_errno("reading");
    out.resize(old + static_cast<std::size_t>(got > 0 ? got : 0));
    if (got == 0) return out;
    offset += static_cast<std::uint64_t>(got > 0 ? got : 0);
    if (out.size() > most) return fail(Error::Kind::permanent, "the file is larger than allowed");
  }
}

Result<std::string> read_file_at(const std::string& path, std::uint64_t most) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("opening", path);
  return read_file(fd.get(), most);
}

}  // namespace mail
