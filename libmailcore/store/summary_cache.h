// The summaries of an account's messages in one append-only file, `relais.cache`: a copied message shares its
// original's record. index(5) has the format.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/disk.h"
#include "store/mailbox.h"

namespace mail::store {

/// Where a record is: 16 bits that tell this file from one before it, 48 bits of offset. 0 is none.
using SummaryRef = std::uint64_t;

class SummaryCache {
 public:
  SummaryCache(Disk& disk, const Directory& directory) : disk_(disk), directory_(directory) {}
  /// Opens the file, or makes a new one where it is missing or not of this format.
  Status open();
  /// Appends records; unflushed: what a crash takes is made again.
  Result<std::vector<SummaryRef>> append(const std::vector<std::string>& records);
  /// Whether a reference may lead somewhere: of this file, and within it. Cheap.
  bool plausible(SummaryRef ref) const;

  /// Reads records; near ones share one read.
  class Reading {
   public:
    explicit Reading(const SummaryCache& cache) : cache_(cache) {}
    /// Nothing where the record is damaged or not there. The views are valid until the next call.
    std::optional<Summary> summary(SummaryRef ref);

   private:
    std::optional<std::string_view> octets(std::uint64_t at, std::size_t length);
    const SummaryCache& cache_;
    std::string buffer_;
    std::uint64_t buffer_at_ = 0;
  };

 private:
  Disk& disk_;
  const Directory& directory_;
  mutable std::mutex mutex_;
  UniqueFd fd_;
  std::uint16_t tag_ = 0;
  mutable std::uint64_t end_ = 0;
};

}  // namespace mail::store
