#include "spool/pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "spool/format.h"
#include "spool/reader.h"

namespace mail::spool {

namespace {

constexpr std::uint64_t kBlockOctets = 4096;
constexpr std::size_t kMostFiles = 16384;  // what two seconds of mail need where a flush comes every second
constexpr std::size_t kKeptFiles = 256;    // when it is quiet
constexpr std::size_t kRemovedAtOnce = 16;
constexpr unsigned kQuietLooks = 120;    // then files are removed
constexpr unsigned kCountEvery = 1024;   // removals
constexpr std::size_t kBlockDigits = 4;  // `BBBB-ID`

std::uint64_t blocks_of(std::uint64_t octets) { return (octets + kBlockOctets - 1) / kBlockOctets; }

/// Nothing where it is no name of the pool's.
std::optional<std::uint64_t> blocks_of_name(std::string_view name) {
  if (name.size() != kBlockDigits + 1 + MessageId::kLength || name[kBlockDigits] != '-') return std::nullopt;
  return parse_decimal(name.substr(0, kBlockDigits));
}

Result<Directory> open_pool(Disk& disk, const Directory& journal, bool make) {
  const std::string name = "pool";
  auto opened = disk.open_directory_at(journal, name);
  if (opened || !make || opened.error().kind != Error::Kind::not_found) return opened;
  MAIL_CHECK(disk.make_directory(journal, name, kBoxMode));
  MAIL_CHECK(disk.sync_directory(journal));
  return disk.open_directory_at(journal, name);
}

}  // namespace

Result<std::unique_ptr<Pool>> Pool::open(Disk& disk, const Directory& journal) {
  MAIL_TRY(directory, open_pool(disk, journal, true));
  std::unique_ptr<Pool> pool(new Pool(disk, std::move(directory)));
  pool->look();
  return pool;
}

std::string Pool::take(std::uint64_t octets) {
  const std::lock_guard lock(mutex_);
  auto found = free_.upper_bound(blocks_of(octets));
  if (found == free_.begin()) return {};
  --found;
  auto name = std::move(found->second.back());
  found->second.pop_back();
  if (found->second.empty()) free_.erase(found);
  ++taken_;
  return name;
}

void Pool::give_back(std::string name) {
  const std::lock_guard lock(mutex_);
  free_[*blocks_of_name(name)].push_back(std::move(name));
}

void Pool::gone(const std::string& name) {
  const std::lock_guard lock(mutex_);
  known_.erase(name);
}

void Pool::look() {
  struct stat found {};
  if (::fstat(directory_.fd(), &found) != 0) return;
  const bool changed = found.st_mtim.tv_sec != seen_.tv_sec || found.st_mtim.tv_nsec != seen_.tv_nsec;
  auto names = changed ? disk_.list(directory_) : std::vector<std::string>();
  if (!names) return;  // without descriptors or memory: another time
  seen_ = found.st_mtim;
  std::vector<std::string> surplus;
  {
    const std::lock_guard lock(mutex_);
    for (auto& name : *names) {
      const auto blocks = blocks_of_name(name);
      if (!blocks || !known_.insert(name).second) continue;
      free_[*blocks].push_back(std::move(name));
    }
    quiet_looks_ = taken_ == taken_before_ ? quiet_looks_ + 1 : 0;
    taken_before_ = taken_;
    const auto kept = quiet_looks_ > kQuietLooks ? kKeptFiles : kMostFiles;
    while (known_.size() > kept && surplus.size() < kRemovedAtOnce && !free_.empty()) {
      auto largest = std::prev(free_.end());
      surplus.push_back(std::move(largest->second.back()));
      largest->second.pop_back();
      if (largest->second.empty()) free_.erase(largest);
      known_.erase(surplus.back());
    }
  }
  for (const auto& name : surplus) (void)disk_.unlink(directory_, name);
}

bool Recycler::ready() {
  if (until_count_-- > 0) return !full_;
  until_count_ = kCountEvery;
  full_ = true;
  if (!directory_) {
    const auto journal = spool_.disk().open_directory_at(spool_.directory(Box::journal), program_);
    if (!journal) return false;  // that program has never run here
    auto pool = open_pool(spool_.disk(), *journal, false);
    if (!pool) return false;
    directory_ = std::move(*pool);
  }
  const auto names = spool_.disk().list(directory_);
  full_ = !names || names->size() > kMostFiles;
  return !full_;
}

Status Recycler::remove(Box box, const MessageId& id) {
  const auto found = spool_.disk().stat(spool_.directory(box), id.text());
  if (!found || !S_ISREG(found->st_mode)) return spool::remove(spool_, box, id);
  MAIL_CHECK(remove_file(box, id, static_cast<std::uint64_t>(found->st_size)));
  return remove_log(spool_, box, id);
}

Status Recycler::remove_file(Box box, const MessageId& id, std::uint64_t octets) {
  auto& disk = spool_.disk();
  if (octets <= kSmallMessageOctets && ready()) {
    const auto blocks = decimal(blocks_of(octets));
    const auto name = concat({std::string(kBlockDigits - blocks.size(), '0'), blocks, "-", id.text()});
    if (disk.rename(spool_.directory(box), id.text(), directory_, name)) return {};
  }
  auto removed = disk.unlink(spool_.directory(box), id.text());
  if (!removed && removed.error().kind == Error::Kind::not_found) return {};
  return removed;
}

}  // namespace mail::spool
