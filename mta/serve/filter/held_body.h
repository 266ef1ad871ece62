// The body of a message that filters still have to see: in memory while it is small, else in a file without a name.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/disk.h"

namespace mail::mta {

class HeldBody {
 public:
  /// @param directory  where the file is made, on the file system that the message goes to
  HeldBody(Disk& disk, const Directory& directory, std::size_t memory_octets)
      : disk_(disk), directory_(directory), memory_octets_(memory_octets) {}
  /// A failure is remembered: status().
  void append(std::string_view octets);
  void replace(std::string octets);
  /// Up to `most` octets from `offset` on; empty at the end, and where they cannot be read (status()).
  std::string read(std::uint64_t offset, std::size_t most);
  std::uint64_t octets() const { return octets_; }
  const Status& status() const { return status_; }

 private:
  void spill();
  void flush();

  Disk& disk_;
  const Directory& directory_;
  std::size_t memory_octets_;
  UniqueFd file_;
  std::string memory_;  // all of it, or what is not in the file yet
  std::uint64_t file_octets_ = 0;
  std::uint64_t octets_ = 0;
  Status status_;
};

}  // namespace mail::mta
