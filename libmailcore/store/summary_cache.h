// The summaries of an account's messages in `relais.cache`: a copied message shares its original's record.
#pragma once
#include <optional>

#include "store/mailbox.h"
#include "store/record_file.h"
#include "store/summary.h"

namespace mail::store {

using SummaryRef = RecordRef;

class SummaryCache : public RecordFile {
 public:
  SummaryCache(Disk& disk, const Directory& directory) : RecordFile(disk, directory, "relais.cache", "RELAISC2") {}

  class Reading : public RecordFile::Reading {
   public:
    using RecordFile::Reading::Reading;
    /// Nothing where the record is damaged or not there. The views are valid as long as this object.
    std::optional<Summary> summary(SummaryRef ref) const {
      const auto found = record(ref);
      return found ? parse_summary(*found) : std::nullopt;
    }
  };
};

}  // namespace mail::store
