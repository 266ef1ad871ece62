// Parsing must undo printing, and no file of anybody's making may do more than be refused.
#include <cstdlib>

#include "spool/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  (void)mail::spool::parse_file(octets);
  const auto envelope = mail::spool::parse_envelope(octets);
  if (!envelope) return 0;
  const auto again = mail::spool::parse_envelope(mail::spool::print(*envelope));
  if (!again || *again != *envelope) std::abort();
  return 0;
}
