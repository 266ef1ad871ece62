#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "imap/mutf7.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto utf8 = mail::imap::from_mutf7(text)) {
    if (!mail::is_utf8(*utf8) || mail::imap::to_mutf7(*utf8) != text) std::abort();  // one spelling for one name
  }
  if (mail::is_utf8(text) && mail::imap::from_mutf7(mail::imap::to_mutf7(text)) != text) std::abort();
  const auto half = size / 2;
  (void)mail::imap::list_pattern_matches(text.substr(0, half), text.substr(half), '/');
  return 0;
}
