// What is parsed and printed parses to the same addresses.
#include <cstdint>
#include <cstdlib>

#include <string>

#include "base/strings.h"
#include "message/address.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)validate_addr_spec(text);
  // Behind an empty place in a list all is parsed the long way.
  const auto addresses = parse_addresses(text);
  if (addresses != parse_addresses("," + std::string(text))) std::abort();
  for (const auto& address : addresses) {
    const auto header = to_header(address);
    for (const char c : header)
      if (c == '\0') std::abort();
  }
  if (const auto mailbox = parse_mailbox(text)) {
    const auto again = parse_mailbox(addr_spec(*mailbox));
    if (!again || again->local_part != mailbox->local_part || again->domain != mailbox->domain) std::abort();
  }
  return 0;
}
