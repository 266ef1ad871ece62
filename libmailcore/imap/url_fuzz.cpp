#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "imap/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto url = mail::imap::parse_message_url(text);
  if (!url) return 0;
  if (url->uid == 0 || url->mailbox.empty() || url->rump_octets > size) std::abort();
  if (url->mailbox.find('\0') != std::string::npos) std::abort();
  // What the token was made from names the same message.
  const auto rump = mail::imap::parse_message_url(text.substr(0, url->rump_octets));
  if (!rump || rump->uid != url->uid || rump->mailbox != url->mailbox || !(rump->access == url->access)) std::abort();
  return 0;
}
