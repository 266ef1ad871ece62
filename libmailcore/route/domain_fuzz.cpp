// Domains as they come in RCPT: normalising twice is normalising once.
#include <cstdint>
#include <cstdlib>

#include "route/router.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto domain = mail::route::normalised_domain({reinterpret_cast<const char*>(data), size});
  if (!domain) return 0;
  const auto again = mail::route::normalised_domain(*domain);
  if (!again || *again != *domain) std::abort();
  return 0;
}
