#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "imap/number_set.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto set = mail::imap::SequenceSet::parse({reinterpret_cast<const char*>(data), size});
  if (!set) return 0;
  const auto again = mail::imap::SequenceSet::parse(set->text());
  if (!again || !(*again == *set)) std::abort();
  const auto numbers = set->resolve(1000);
  if (numbers.empty()) return 0;
  const auto printed = mail::imap::SequenceSet::parse(numbers.text());
  if (!printed || !(printed->resolve(1000) == numbers)) std::abort();
  return 0;
}
