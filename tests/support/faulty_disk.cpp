#include "tests/support/faulty_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

namespace mail::test {

namespace {

/// Opens again, for reading, what a descriptor has open.
UniqueFd reopened(int fd) {
  return UniqueFd(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
}

std::string whole(int fd) {
  auto content = read_file(fd);
  return content ? std::move(*content) : std::string();
}

struct CloseDir {
  void operator()(DIR* d) const { ::closedir(d); }
};

template <class Act>
void each_name(int directory, Act act) {
  const int again = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (again < 0) return;
  const std::unique_ptr<DIR, CloseDir> stream(::fdopendir(again));
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") act(name);
  }
}

UniqueFd open_below(int directory, const std::string& name) {
  return UniqueFd(::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

}  // namespace

FaultyDisk::FaultyDisk(const std::string& root, int calls, int error) : root_(root), left_(calls), error_(error) {
  const UniqueFd top(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) std::abort();
  learn_tree(top.get());
}

FaultyDisk::~FaultyDisk() = default;

bool FaultyDisk::stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

int FaultyDisk::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

void FaultyDisk::heal() {
  const std::lock_guard lock(mutex_);
  left_ = kNever;
}

void FaultyDisk::split() {
  const std::lock_guard lock(mutex_);
  split_ = true;
}

void FaultyDisk::refuse_names_in(const std::string& path) {
  const std::lock_guard lock(mutex_);
  refused_ = path;
}

bool FaultyDisk::apart(const Directory& from, const Directory& to) const {
  const auto parent = [](const Directory& directory) { return std::filesystem::path(directory.path()).parent_path(); };
  return split_ && parent(from) != parent(to);
}

void FaultyDisk::cut_power() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  error_ = 0;
}

FaultyDisk::Turn FaultyDisk::turn() {
  ++calls_;
  if (stopped_) return error_ == 0 ? Turn::refuse : Turn::go;
  if (left_-- > 0) return Turn::go;
  stopped_ = true;
  return error_ == 0 ? Turn::half : Turn::refuse;
}

Status FaultyDisk::refused(std::string_view what) const {
  return fail_errno(what, "the faulty disk", error_ == 0 ? EIO : error_);
}

FaultyDisk::Inode FaultyDisk::know(int fd, bool durable) {
  struct stat found {};
  if (::fstat(fd, &found) != 0) std::abort();
  auto [at, fresh] = nodes_.try_emplace(found.st_ino);
  if (fresh) {
    at->second.hold = reopened(fd);
    at->second.directory = S_ISDIR(found.st_mode);
    if (durable && S_ISREG(found.st_mode)) at->second.content = whole(at->second.hold.get());
  }
  return found.st_ino;
}

void FaultyDisk::learn_tree(int directory) {
  const auto self = know(directory, true);
  each_name(directory, [&](const std::string& name) {
    const auto below = open_below(directory, name);
    if (!below) return;
    const auto inode = know(below.get(), true);
    nodes_[self].names[name] = inode;
    if (nodes_[inode].directory) learn_tree(below.get());
  });
}

void FaultyDisk::snapshot(int fd) {
  const auto inode = know(fd, false);
  auto& node = nodes_[inode];
  if (!node.directory) {
    node.content = whole(node.hold.get());
    return;
  }
  std::map<std::string, Inode> names;
  each_name(fd, [&](const std::string& name) {
    if (const auto below = open_below(fd, name)) names[name] = know(below.get(), false);
  });
  nodes_[inode].names = std::move(names);
}

void FaultyDisk::snapshot_tree(int directory) {
  snapshot(directory);
  each_name(directory, [&](const std::string& name) {
    const auto below = open_below(directory, name);
    struct stat found {};
    if (!below || ::fstat(below.get(), &found) != 0) return;
    if (S_ISDIR(found.st_mode))
      snapshot_tree(below.get());
    else
      snapshot(below.get());
  });
}

void FaultyDisk::restore(int directory, const Node& node, Loss loss) {
  for (const auto& [name, inode] : node.names) {
    const auto& child = nodes_.at(inode);
    struct stat found {};
    if (::fstat(child.hold.get(), &found) != 0) std::abort();
    const auto mode = found.st_mode & 07777;  // modes count as durable at once
    if (child.directory) {
      if (::mkdirat(directory, name.c_str(), mode) != 0) continue;
      const auto below = open_below(directory, name);
      restore(below.get(), child, loss);
      ::fchmod(below.get(), mode);
      continue;
    }
    auto content = child.content;
    if (loss != Loss::all) {
      const auto real = whole(child.hold.get());
      const auto kept = loss == Loss::half_data ? real.size() / 2 : 0;
      auto mixed = real.substr(0, kept);
      if (content.size() > kept) mixed += content.substr(kept, real.size() - kept);
      mixed.resize(real.size(), '\0');  // room that was given, octets that never came
      if (real != content) content = mixed;
    }
    const UniqueFd file(::openat(directory, name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode));
    if (!file) {  // a second name of one file
      continue;
    }
    if (!Disk::system().write(file.get(), content)) std::abort();
    ::fchmod(file.get(), mode);
  }
}

void FaultyDisk::lose_power(Loss loss) {
  const std::lock_guard lock(mutex_);
  const UniqueFd top(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (loss != Loss::all) {
    // The names as they are now; the contents stay what was synced.
    std::map<Inode, std::string> synced;
    for (const auto& [inode, node] : nodes_) synced[inode] = node.content;
    snapshot_tree(top.get());
    for (auto& [inode, node] : nodes_) node.content = synced[inode];
  }
  const auto self = know(top.get(), true);
  std::vector<std::string> names;
  each_name(top.get(), [&](const std::string& name) { names.push_back(name); });
  for (const auto& name : names) std::filesystem::remove_all(std::filesystem::path(root_) / name);
  restore(top.get(), nodes_.at(self), loss);
  nodes_.clear();
  left_ = kNever;
  stopped_ = false;
  learn_tree(top.get());
}

Result<Directory> FaultyDisk::open_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (turn() != Turn::go) return tl::unexpected(refused("opening").error());
  auto opened = Disk::system().open_directory(path);
  if (opened) know(opened->fd(), false);
  return opened;
}

Result<Directory> FaultyDisk::open_directory_at(const Directory& parent, const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (turn() != Turn::go) return tl::unexpected(refused("opening").error());
  auto opened = Disk::system().open_directory_at(parent, name);
  if (opened) know(opened->fd(), false);
  return opened;
}

Result<UniqueFd> FaultyDisk::open(const Directory& directory, const std::string& name, int flags, mode_t mode) {
  const std::lock_guard lock(mutex_);
  if (turn() != Turn::go) return tl::unexpected(refused("opening").error());
  auto opened = Disk::system().open(directory, name, flags, mode);
  if (opened) know(opened->get(), false);
  return opened;
}

Status FaultyDisk::write(int fd, std::string_view octets) {
  const std::lock_guard lock(mutex_);
  const auto how = turn();
  if (how == Turn::half) (void)Disk::system().write(fd, octets.substr(0, octets.size() / 2));
  return how == Turn::go ? Disk::system().write(fd, octets) : refused("writing");
}

Status FaultyDisk::pwrite(int fd, std::string_view octets, std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const auto how = turn();
  if (how == Turn::half) (void)Disk::system().pwrite(fd, octets.substr(0, octets.size() / 2), offset);
  return how == Turn::go ? Disk::system().pwrite(fd, octets, offset) : refused("writing");
}

Status FaultyDisk::truncate(int fd, std::uint64_t octets) {
  const std::lock_guard lock(mutex_);
  return turn() == Turn::go ? Disk::system().truncate(fd, octets) : refused("truncating");
}

Status FaultyDisk::allocate(int fd, std::uint64_t offset, std::uint64_t octets) {
  const std::lock_guard lock(mutex_);
  return turn() == Turn::go ? Disk::system().allocate(fd, offset, octets) : refused("reserving room");
}

Status FaultyDisk::sync(int fd) {
  const std::lock_guard lock(mutex_);
  if (turn() != Turn::go) return refused("syncing");
  snapshot(fd);
  return {};
}

Status FaultyDisk::sync_data(int fd) { return sync(fd); }

Status FaultyDisk::sync_directory(const Directory& directory) { return sync(directory.fd()); }

Status FaultyDisk::sync_filesystem(const Directory&) {
  const std::lock_guard lock(mutex_);
  if (turn() != Turn::go) return refused("syncing the file system");
  const UniqueFd top(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  snapshot_tree(top.get());
  return {};
}

Status FaultyDisk::close(UniqueFd fd) {
  const std::lock_guard lock(mutex_);
  return turn() == Turn::go ? Disk::system().close(std::move(fd)) : refused("closing");
}

Status FaultyDisk::rename(const Directory& from, const std::string& old_name, const Directory& to,
                          const std::string& new_name) {
  const std::lock_guard lock(mutex_);
  if (apart(from, to)) return fail_errno("renaming", new_name, EXDEV);
  if (to.path() == refused_) return fail_errno("renaming", new_name, ENOSPC);
  return turn() == Turn::go ? Disk::system().rename(from, old_name, to, new_name) : refused("renaming");
}

Status FaultyDisk::link(const Directory& from, const std::string& old_name, const Directory& to,
                        const std::string& new_name) {
  const std::lock_guard lock(mutex_);
  if (apart(from, to)) return fail_errno("linking", new_name, EXDEV);
  return turn() == Turn::go ? Disk::system().link(from, old_name, to, new_name) : refused("linking");
}

Status FaultyDisk::unlink(const Directory& directory, const std::string& name) {
  const std::lock_guard lock(mutex_);
  return turn() == Turn::go ? Disk::system().unlink(directory, name) : refused("removing");
}

Status FaultyDisk::make_directory(const Directory& parent, const std::string& name, mode_t mode) {
  const std::lock_guard lock(mutex_);
  return turn() == Turn::go ? Disk::system().make_directory(parent, name, mode) : refused("making a directory");
}

Status FaultyDisk::remove_directory(const Directory& parent, const std::string& name) {
  const std::lock_guard lock(mutex_);
  return turn() == Turn::go ? Disk::system().remove_directory(parent, name) : refused("removing a directory");
}

}  // namespace mail::test
