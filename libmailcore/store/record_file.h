// A growing file of records of one account, which its mailboxes' indexes point into: `relais.cache` and
// `relais.search`. Records are appended, never changed; each has a checksum. index(5) has the format.
//
// The file is mapped: what is asked for again and again costs no read and no copy. Whether a record is whole is looked
// at when this process first comes to it.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/disk.h"

namespace mail::store {

/// Where a record is: 16 bits that tell this file from one before it, 48 bits of offset. 0 is none.
using RecordRef = std::uint64_t;

class RecordFile {
 public:
  /// @param magic  eight octets; a file that begins with others is replaced
  RecordFile(Disk& disk, const Directory& directory, std::string name, std::string_view magic);
  ~RecordFile();
  /// Opens the file, or makes a new one where it is missing or not of this format.
  Status open();
  /// Appends records, of 64 octets at least; unflushed: what a crash takes is made again.
  Result<std::vector<RecordRef>> append(const std::vector<std::string_view>& records);
  Result<std::vector<RecordRef>> append(const std::vector<std::string>& records) {
    return append(std::vector<std::string_view>(records.begin(), records.end()));
  }
  /// Whether a reference may lead somewhere: of this file, and within it. Cheap.
  bool plausible(RecordRef ref) const;

 private:
  class Mapping;

 public:
  /// What the file holds at the moment this is made. For one query: a file that another program cut short meanwhile is
  /// noticed by the next.
  class Reading {
   public:
    explicit Reading(const RecordFile& file);
    /// Nothing where the record is damaged or not there. The view is valid as long as this object. Any thread.
    std::optional<std::string_view> record(RecordRef ref) const;

   private:
    std::shared_ptr<const Mapping> mapping_;
    std::uint64_t end_ = 0;
    std::uint16_t tag_ = 0;
  };

 private:
  std::shared_ptr<const Mapping> mapping_up_to(std::uint64_t end) const;

  Disk& disk_;
  const Directory& directory_;
  const std::string name_;
  const std::string magic_;
  UniqueFd fd_;
  std::uint16_t tag_ = 0;
  mutable std::atomic<std::uint64_t> end_{0};
  mutable std::mutex mutex_;  // of what follows, and of appending
  mutable std::shared_ptr<const Mapping> mapping_;
  mutable std::uint64_t longest_ = 0;  // the file has been so long
};

}  // namespace mail::store
