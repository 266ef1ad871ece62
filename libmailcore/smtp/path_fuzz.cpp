// Parsing undoes printing, for every path that is accepted.
#include <cstdint>
#include <cstdlib>

#include "smtp/path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::smtp;
  const PathSyntax syntax{.null = true};
  const auto path = parse_path({reinterpret_cast<const char*>(data), size}, syntax);
  if (!path) return 0;
  const auto again = parse_path(to_path(*path), syntax);
  if (!again || *again != *path) std::abort();
  return 0;
}
