// A hostile server: however the octets are split, the events are the same.
#include <cstdint>
#include <cstdlib>

#include "base/overloaded.h"
#include "imap/client_session.h"

namespace {
std::string events(std::string_view octets, std::size_t step) {
  mail::imap::ClientSession session(1U << 20U);
  std::string out;
  bool sent = false;
  for (std::size_t at = 0; at < octets.size(); at += step) {
    session.receive(octets.substr(at, step));
    while (const auto event = session.next()) {
      out += static_cast<char>('a' + event->index());
      if (event->index() == 1 && !sent) {
        session.command(mail::imap::ClientCommand("APPEND ").mailbox("x").text(" ").literal("body"));
        sent = true;
      }
    }
  }
  return out;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  if (size > 4000) return 0;
  if (events(octets, size + 1) != events(octets, 1)) std::abort();
  return 0;
}
