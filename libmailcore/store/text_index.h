// The index behind SEARCH BODY and TEXT: for each message a bloom filter of the trigrams of its folded text, in
// `relais.search` of the account. It only says which messages cannot match; the others are read, so the answer is that
// of a full scan. index(5) has the format.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/record_file.h"

namespace mail::store {

using FilterRef = RecordRef;

/// The filter of a text: a power of two of octets, about four bits for each different trigram.
std::string make_filter(std::string_view folded);
/// Bits that the filter of every text with this needle has set, as hashes of its trigrams; empty for needles under
/// three octets: every message may match.
std::vector<std::uint32_t> needle_trigrams(std::string_view folded);

class TextIndex : public RecordFile {
 public:
  TextIndex(Disk& disk, const Directory& directory) : RecordFile(disk, directory, "relais.search", "RELAIST1") {}

  class Reading : public RecordFile::Reading {
   public:
    using RecordFile::Reading::Reading;
    /// False where the text certainly does not contain the needle. True where there is no filter, or a damaged one.
    bool may_contain(FilterRef ref, const std::vector<std::uint32_t>& trigrams) const;
  };
};

}  // namespace mail::store
