// Parsing undoes printing, for all parameters that are accepted.
#include <cstdint>
#include <cstdlib>

#include "smtp/parameters.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::smtp;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto mail = parse_mail_parameters(text)) {
    const auto again = parse_mail_parameters(to_string(*mail));
    if (!again || *again != *mail) std::abort();
  }
  if (const auto rcpt = parse_rcpt_parameters(text)) {
    const auto again = parse_rcpt_parameters(to_string(*rcpt));
    if (!again || *again != *rcpt) std::abort();
  }
  return 0;
}
