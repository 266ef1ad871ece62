// The server session under any input: it never crashes, replies are whole lines, and how the input is cut changes
// nothing, nor does it whether a message comes in one piece.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/overloaded.h"
#include "pop3/server_session.h"

namespace {

using namespace mail::pop3;

class TwoMessages final : public Maildrop {
 public:
  std::size_t count() const override { return 2; }
  std::uint64_t total_octets() const override { return 20; }
  std::uint64_t octets(std::size_t) const override { return 10; }
  std::string unique_id(std::size_t index) const override { return index == 0 ? "a" : "b"; }
};

struct Peer {
  ServerSession session{
      Options{.tls_active = true, .tls_mechanisms = {"PLAIN"}, .apop_timestamp = "<1@h>", .expire_days = {}}};
  TwoMessages maildrop;
  std::string sent;
  bool closed = false;
  bool in_pieces = false;

  void receive(std::string_view octets) {
    session.receive(octets);
    while (auto event = session.next()) {
      std::visit(mail::overloaded{
                     [&](const Send& e) { sent += e.octets; },
                     [&](const BeginTls&) { session.tls_started(); },
                     [&](const CheckPassword& e) { decide(e.password.size()); },
                     [&](const CheckApop& e) { decide(e.user.size()); },
                     [&](const BeginSasl& e) {
                       if (e.initial_response) return decide(e.initial_response->size());
                       session.challenge("x");
                     },
                     [&](const SaslResponse& e) { decide(e.octets.size()); },
                     [&](const SaslCancelled&) {},
                     [&](const Retrieve& e) {
                       const std::string_view stored = e.index == 0 ? "A: b\n\n.\n" : "S: \xC3\xA9\n\nx";
                       auto body = e.whole && !in_pieces ? ServerSession::whole_body(stored) : std::nullopt;
                       if (body) return session.message_whole(std::move(*body));
                       session.message_begins();
                       session.message_octets(stored);
                       session.message_ends();
                     },
                     [&](const Remove& e) { session.removed(e.indices.size() != 2); },
                     [&](const Close&) { closed = true; },
                 },
                 *event);
    }
  }
  void decide(std::size_t octets) { octets % 2 != 0 ? session.accept(maildrop) : session.refuse(Refusal::credentials); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Peer whole, cut;
  cut.in_pieces = true;
  whole.receive(input);
  cut.receive({});
  for (std::size_t at = 0; at < size; at += 7) cut.receive(input.substr(at, 7));
  if (whole.sent != cut.sent || whole.closed != cut.closed) std::abort();
  if (!whole.sent.ends_with("\r\n")) std::abort();
  if (whole.session.input_full()) std::abort();  // nothing waits for an answer here
  return 0;
}
