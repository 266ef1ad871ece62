// The index behind SEARCH BODY and TEXT: for each message a bloom filter of the trigrams of its folded text, in
// `relais.search` of the account. It only says which messages cannot match; the others are read, so the answer is that
// of a full scan. index(5) has the format.
#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/disk.h"

namespace mail::store {

/// Where a filter is: 16 bits that tell this file from one before it, 48 bits of offset. 0 is none.
using FilterRef = std::uint64_t;

/// The filter of a text: a power of two of octets, about four bits for each different trigram.
std::string make_filter(std::string_view folded);
/// Bits that the filter of every text with this needle has set, as hashes of its trigrams; empty for needles under
/// three octets: every message may match.
std::vector<std::uint32_t> needle_trigrams(std::string_view folded);

class TextIndex {
 public:
  TextIndex(Disk& disk, const Directory& directory) : disk_(disk), directory_(directory) {}
  Status open();
  Result<std::vector<FilterRef>> append(const std::vector<std::string>& filters);
  bool plausible(FilterRef ref) const { return ref != 0 && (ref >> 48) == tag_; }
  /// False where the text certainly does not contain the needle. True where the filter is damaged.
  bool may_contain(FilterRef ref, const std::vector<std::uint32_t>& trigrams, std::string& scratch) const;

 private:
  Disk& disk_;
  const Directory& directory_;
  std::mutex mutex_;
  UniqueFd fd_;
  std::uint16_t tag_ = 0;
};

}  // namespace mail::store
