// SCRAM's messages: parsing never crashes, and whatever the client sends never logs in without the keys.
#include <cstdint>
#include <cstdlib>

#include "base/strings.h"
#include "sasl/scram.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::sasl;
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  const auto [first, last] = mail::split_once(octets, '\n');
  (void)parse_server_first(first);
  if (const auto decoded = mail::from_base64(first); decoded && mail::from_base64(mail::to_base64(*decoded)) != decoded)
    std::abort();
  if (const auto name = from_saslname(first); name && from_saslname(to_saslname(*name)) != name) std::abort();
  auto server = begin_scram_server({ScramHash::sha256, false}, {}, false, "server");
  auto step = server->start(first);
  if (std::holds_alternative<NeedScramKeys>(step))
    step = server->give_keys({"salt", 4096, std::string(32, 's'), std::string(32, 'k')}, true);
  if (std::holds_alternative<Challenge>(step)) step = server->step(last);
  if (std::holds_alternative<Challenge>(step) || std::holds_alternative<Success>(step)) std::abort();
  return 0;
}
