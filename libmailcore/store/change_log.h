// The index of one mailbox on disk: `relais.index` (a snapshot), `relais.log` (records since then), `relais.lock`
// (flock: one writer). index(5) has the formats and every state that a crash can leave.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/disk.h"
#include "store/flusher.h"
#include "store/image.h"

namespace mail::store {

/// First octets of a log.
struct LogHeader {
  std::uint64_t generation = 1;
  std::uint64_t position =
      0;  ///< Octets of records in all logs before this one: tells whether a process that switches has seen them all.
  ModSeq modseq{1};
  UidValidity uid_validity{};
  std::string guid;
};
inline constexpr std::size_t kLogHeaderOctets = 88;
std::string format_log_header(const LogHeader& header);
Result<LogHeader> parse_log_header(std::string_view octets);

/// Held while the log, the snapshot or the mailbox's files change. Processes of one host exclude each other by it.
class IndexLock {
 public:
  explicit IndexLock(int fd) : fd_(fd) {}
  IndexLock(IndexLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  IndexLock& operator=(IndexLock&&) = delete;
  ~IndexLock();

 private:
  int fd_;
};

class ChangeLog {
 public:
  /// `directory` must live as long as this.
  ChangeLog(Disk& disk, const Directory& directory) : disk_(disk), directory_(directory) {}

  Result<IndexLock> lock();
  /// Reads snapshot and log into `image`; not_found where there is no index, syntax where it is damaged. Under the
  /// lock.
  Status load(Image& image);
  /// Reads what other processes appended. False: the files are not those this process knew; load() or rewrite(). Under
  /// the lock.
  Result<bool> catch_up(Image& image);
  /// [a stat] Whether catch_up() would find something.
  bool behind() const;
  /// Appends records, unflushed. Under the lock, after catch_up(). A failure leaves the log as it was.
  Status append(std::string_view records);
  /// Durable up to here; shared with others who wait.
  Status flush();
  /// Replaces snapshot and log. Under the lock.
  Status rewrite(const Image& image);
  std::uint64_t log_octets() const { return read_; }
  std::uint64_t snapshot_octets() const { return snapshot_octets_; }
  bool is_open() const { return fd_ != nullptr; }

 private:
  void set_fd(UniqueFd fd);
  Result<LogHeader> open_log(const std::string& name, UniqueFd& fd);
  /// @return where the last whole record ends
  Result<std::uint64_t> read_records(int fd, std::uint64_t from, Image& image);

  Disk& disk_;
  const Directory& directory_;
  UniqueFd lock_fd_;
  std::mutex fd_mutex_;  // flush() runs beside a rewrite() that replaces the log
  std::shared_ptr<UniqueFd> fd_;
  std::atomic<std::uint64_t> inode_{0};  // behind() runs beside a writer
  LogHeader header_;
  std::atomic<std::uint64_t> read_{0};  // of the log file, header included
  std::uint64_t snapshot_octets_ = 0;
  SharedFlush flushes_;
};

}  // namespace mail::store
