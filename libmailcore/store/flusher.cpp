#include "store/flusher.h"

#include <sys/stat.h>

namespace mail::store {

namespace {

/// syncfs also waits for what others wrote; where that takes long, single flushes are better for a while.
constexpr auto kSlow = std::chrono::milliseconds(50);
constexpr auto kAvoid = std::chrono::seconds(2);
/// More files than this are cheaper by syncfs in any case.
constexpr std::size_t kSingleMost = 16;

}  // namespace

Status SharedFlush::run(const std::function<Status()>& flush) {
  Status flushed;
  waiting_.run(flushed, [&](const std::vector<Status*>& waiting) {
    const auto status = flush();
    for (auto* one : waiting) *one = status;
  });
  return flushed;
}

Flusher::Device& Flusher::device_of(const Directory& directory) {
  struct stat found {};
  const dev_t device = ::fstat(directory.fd(), &found) == 0 ? found.st_dev : 0;
  std::lock_guard lock(mutex_);
  auto& slot = devices_[device];
  if (!slot) slot = std::make_unique<Device>();
  return *slot;
}

Status Flusher::flush(const FlushSet& set, bool* everything) {
  if (everything != nullptr) *everything = false;
  if (!enabled_ || set.directories.empty()) return {};
  const auto& any = *set.directories.front();
  auto& device = device_of(any);
  bool single = false;
  if (set.files.size() <= kSingleMost) {
    std::lock_guard lock(device.mutex);
    single = std::chrono::steady_clock::now() < device.slow_until;
  }
  if (single) {
    for (const int fd : set.files) MAIL_CHECK(disk_.sync(fd));
    for (const auto* directory : set.directories) MAIL_CHECK(disk_.sync_directory(*directory));
    return {};
  }
  if (everything != nullptr) *everything = true;
  return flush_all(any);
}

Status Flusher::flush_all(const Directory& any) {
  if (!enabled_) return {};
  auto& device = device_of(any);
  return device.shared.run([&]() -> Status {
    const auto start = std::chrono::steady_clock::now();
    auto status = disk_.sync_filesystem(any);
    const auto end = std::chrono::steady_clock::now();
    if (end - start > kSlow) {
      std::lock_guard lock(device.mutex);
      device.slow_until = end + kAvoid;
    }
    return status;
  });
}

}  // namespace mail::store
