// Flags between their names on the wire and the store's bits.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "store/types.h"

namespace mail::imapd {

/// `(\Seen $Junk)`. The system flags come from a table of all 64 combinations.
void append_flags(std::string& out, const store::MessageRow& row, const std::vector<std::string>& keywords,
                  bool tells_recent = true);

struct FlagNames {
  store::Flags flags = store::Flags::none;
  std::vector<std::string> keywords;
};
/// Names as a client gave them. \Recent is ignored (RFC 9051 section 2.3.2); other unknown system flags are syntax
/// errors.
Result<FlagNames> flags_of(const std::vector<std::string>& names);

}  // namespace mail::imapd
