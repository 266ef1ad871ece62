// A server session that is told anything: no message ever holds a bare CR, LF or NUL, replies are framed, and the
// events do not depend on how the input is split. The first octet chooses the mode and where the input is cut.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/overloaded.h"
#include "smtp/server_session.h"

namespace {
using namespace mail::smtp;

void check_body(const std::string& body) {
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '\0') std::abort();
    if (body[i] == '\r' && (i + 1 == body.size() || body[i + 1] != '\n')) std::abort();
    if (body[i] == '\n' && (i == 0 || body[i - 1] != '\r')) std::abort();
  }
}

void act(ServerSession& session, Event& event, std::string& log, std::string& body) {
  std::visit(mail::overloaded{
                 [&](const SendReply& e) {
                   if (!e.wire.ends_with("\r\n")) std::abort();
                   log += e.wire;
                 },
                 [&](const BeginMessage&) { body.clear(), session.accept(); },
                 [&](const BodyOctets& e) { body += e.octets; },
                 [&](const AbandonMessage&) { body.clear(), log += "abandon\n"; },
                 [&](const EndOfMessage&) {
                   check_body(body);
                   log += body;
                   session.accept();
                 },
                 [&](const BeginTls&) { session.tls_started(), log += "tls\n"; },
                 [&](const AuthBegin& e) { e.response ? session.auth_succeeded() : session.auth_challenge("x"); },
                 [&](const AuthResponse& e) {
                   log += e.response;
                   session.auth_failed({535, "5.7.8 no"});
                 },
                 [&](const auto&) {
                   if (session.waiting()) session.accept();
                 },
             },
             event);
}

std::string run(const ServerSettings& settings, std::string_view first, std::string_view second) {
  ServerSession session(settings);
  std::string log, body;
  session.greet();
  for (const auto piece : {first, second}) {
    session.receive(piece);
    while (auto event = session.next()) act(session, *event, log, body);
  }
  return log;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  ServerSettings settings;
  settings.mode = data[0] & 1 ? Mode::lmtp : Mode::relay;
  settings.bare_newlines = data[0] & 2 ? BareNewlines::normalise : BareNewlines::refuse;
  settings.lenient = (data[0] & 4) == 0;
  settings.auth_in_clear = {"PLAIN"};
  settings.message_octets = 100;
  settings.text_line_octets = 40;
  settings.command_octets = 80;
  const std::size_t cut = input.empty() ? 0 : (data[0] >> 3) * input.size() / 32;
  if (run(settings, input, {}) != run(settings, input.substr(0, cut), input.substr(cut))) std::abort();
  return 0;
}
