// A hostile server: however the octets are split, the events are the same.
#include <cstdint>
#include <cstdlib>

#include "base/overloaded.h"
#include "pop3/client_session.h"

namespace {
std::string events(std::string_view octets, std::size_t step) {
  mail::pop3::ClientSession session(1U << 12U);
  std::string out;
  int commands = 0;
  for (std::size_t at = 0; at < octets.size(); at += step) {
    session.receive(octets.substr(at, step));
    while (const auto event = session.next()) {
      out += static_cast<char>('a' + event->index());
      const auto* reply = std::get_if<mail::pop3::client::Reply>(&*event);
      if (reply != nullptr) out += reply->text + reply->body;
      // Each other one has a body.
      if (reply != nullptr && commands < 20) session.command("RETR 1", ++commands % 2 == 0);
    }
  }
  return out + session.timestamp();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4000) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  const auto whole = events(stream, size + 1);
  for (const std::size_t step : {1U, 7U})
    if (events(stream, step) != whole) std::abort();
  return 0;
}
