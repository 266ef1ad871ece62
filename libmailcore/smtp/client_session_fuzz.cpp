// A client session that is answered anything: what it sends is always whole lines, each message has one result, and no
// 2xx result comes before the content was finished.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/overloaded.h"
#include "smtp/client_session.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::smtp;
  if (size == 0) return 0;
  ClientSession session({.host_name = "client.example", .lmtp = (data[0] & 1) != 0});
  std::string sent;
  int sends = 0, results = 0, bodies = 0;
  const auto pump = [&] {
    while (auto event = session.next()) {
      std::visit(
          mail::overloaded{
              [&](const SendOctets& e) { sent += e.octets; },
              [&](const Ready&) {
                if (++sends > 3) return session.quit();
                OutgoingMessage message{.reverse_path = {"a", "b"}, .recipients = {{{"c", "d"}, {}}, {{"e", "f"}, {}}}};
                message.octets = data[0] & 2 ? 5 : 0;
                session.send(std::move(message));
              },
              [&](const StartTls&) { session.tls_started(); },
              [&](const TlsRefused&) {},
              [&](const AuthChallenge&) { session.auth_cancel(); },
              [&](const AuthResult&) {},
              [&](const BodyWanted&) {
                ++bodies;
                session.body(".x\n\r");
                while (auto piece = session.next())
                  if (auto* octets = std::get_if<SendOctets>(&*piece)) sent += octets->octets;
                session.finish_body();
              },
              [&](const MessageResult& e) {
                ++results;
                for (const auto& recipient : e.recipients)
                  if (recipient.reply.code == 0 || (recipient.reply.positive() && bodies == 0)) std::abort();
              },
              [&](const SessionOver&) {},
          },
          *event);
    }
  };
  pump();
  for (std::size_t i = 1; i < size; ++i) {
    session.receive({reinterpret_cast<const char*>(data) + i, 1});
    pump();
  }
  session.disconnected("gone");
  pump();
  if (results != std::min(sends, 3)) std::abort();
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (sent[i] == '\r' && (i + 1 == sent.size() || sent[i + 1] != '\n')) std::abort();
    if (sent[i] == '\n' && (i == 0 || sent[i - 1] != '\r')) std::abort();
  }
  return 0;
}
