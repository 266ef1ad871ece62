#include <cstdlib>

#include "net/proxy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  const auto whole = mail::net::parse_proxy_header(octets);
  if (!whole || !*whole) return 0;
  if ((*whole)->octets > size) std::abort();
  // No shorter piece may be taken for a whole header, or for none.
  for (std::size_t cut = 0; cut < (*whole)->octets; ++cut) {
    const auto part = mail::net::parse_proxy_header(octets.substr(0, cut));
    if (!part || *part) std::abort();
  }
  return 0;
}
