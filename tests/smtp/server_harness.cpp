#include "tests/smtp/server_harness.h"

#include "base/overloaded.h"
#include "base/strings.h"

namespace mail::test {

using namespace smtp;

ServerSettings server_settings(const TranscriptSettings& from) {
  ServerSettings settings;
  settings.host_name = "mx.example.org";
  const auto number = [&](const char* name, auto& to) {
    if (const auto found = from.find(name); found != from.end())
      to = static_cast<std::remove_reference_t<decltype(to)>>(parse_decimal(found->second).value_or(0));
  };
  const auto flag = [&](const char* name, bool& to) {
    if (const auto found = from.find(name); found != from.end()) to = found->second == "yes";
  };
  const auto names = [&](const char* name, std::vector<std::string>& to) {
    if (const auto found = from.find(name); found != from.end())
      for (const auto part : split(found->second, ',')) to.emplace_back(part);
  };
  number("message_octets", settings.message_octets);
  number("recipients", settings.recipients);
  number("transactions", settings.transactions);
  number("command_octets", settings.command_octets);
  number("auth_octets", settings.auth_octets);
  number("text_line_octets", settings.text_line_octets);
  number("mistakes", settings.mistakes);
  number("hold_seconds", settings.hold_seconds);
  flag("lenient", settings.lenient);
  flag("tls", settings.tls);
  flag("tls_required", settings.tls_required);
  flag("auth_required", settings.auth_required);
  flag("binarymime", settings.binarymime);
  flag("chunking", settings.chunking);
  flag("verify", settings.verify);
  flag("expand", settings.expand);
  flag("etrn", settings.etrn);
  flag("mt_priority", settings.mt_priority);
  flag("requiretls", settings.requiretls);
  if (from.contains("by_min")) number("by_min", settings.by_min.emplace());
  if (from.contains("normalise")) settings.bare_newlines = BareNewlines::normalise;
  names("auth_in_clear", settings.auth_in_clear);
  names("auth_under_tls", settings.auth_under_tls);
  if (const auto mode = from.find("mode"); mode != from.end())
    settings.mode = mode->second == "lmtp" ? Mode::lmtp : Mode::submission;
  return settings;
}

void ServerHarness::note(std::string_view event, std::string_view text) {
  if (event == "body" && !events.empty() && events.back().starts_with("body ")) {
    events.back() += text;
    return;
  }
  events.push_back(concat({event, " ", text}));
}

std::string ServerHarness::greeting() {
  session_.greet();
  return pump();
}

std::string ServerHarness::receive(std::string_view octets) {
  // A copy that dies: a session that kept a view would be found by the address sanitizer.
  const std::string short_lived(octets);
  session_.receive(short_lived);
  return pump();
}

void ServerHarness::start_tls() { session_.tls_started(); }

void ServerHarness::on_sender(const MailArguments& arguments) {
  note("mail", concat({to_path(arguments.reverse_path), " ", to_string(arguments.parameters)}));
  if (arguments.reverse_path.local_part == "spammer") return session_.answer({550, "5.7.1 Not from you"});
  session_.accept();
}

void ServerHarness::on_recipient(const RcptArguments& arguments) {
  note("rcpt", concat({to_path(arguments.forward_path), " ", to_string(arguments.parameters)}));
  const auto& path = arguments.forward_path;
  if (!path.domain.empty() && path.domain != "example.org" && !session_.authenticated())
    return session_.answer({550, "5.7.1 Relaying denied"});
  if (path.local_part == "nobody") return session_.answer({550, "5.1.1 No such user"});
  if (path.local_part == "later") return session_.answer({450, "4.2.2 Mailbox full"});
  recipients_.push_back(path.local_part);
  session_.accept();
}

void ServerHarness::on_auth(std::string_view response) {
  note("auth", response);
  if (mechanism_ == "LOGIN" && auth_step_++ == 0) {
    login_user_ = response;
    return session_.auth_challenge("Password:");
  }
  const std::string given = mechanism_ == "LOGIN"
                                ? concat({std::string_view("\0", 1), login_user_, std::string_view("\0", 1), response})
                                : std::string(response);
  if (given.ends_with(std::string_view("\0tim\0tanstaaftanstaaf", 21))) return session_.auth_succeeded();
  session_.auth_failed({535, "5.7.8 Authentication failed"});
}

void ServerHarness::on_verify(std::string_view argument) {
  if (argument == "ann") return session_.answer({250, "2.1.5 Ann <ann@example.org>"});
  if (argument == "staff") return session_.answer({250, "2.1.5 <ann@example.org>\n<bob@example.org>"});
  if (argument == "a")
    return session_.answer({553, "5.1.4 Ambiguous; possibilities are\n<ann@example.org>\n<anna@example.org>"});
  session_.answer({550, "5.1.1 No such user"});
}

std::string ServerHarness::pump() {
  std::string output;
  while (auto event = session_.next()) {
    std::visit(overloaded{
                   [&](const SendReply& e) {
                     note("reply", e.wire);
                     output += e.wire;
                   },
                   [&](const CheckHello& e) {
                     note("hello", concat({e.verb, " ", e.domain}));
                     session_.accept();
                   },
                   [&](const CheckSender& e) { on_sender(e.arguments); },
                   [&](const CheckRecipient& e) { on_recipient(e.arguments); },
                   [&](const BeginMessage&) {
                     note("begin");
                     message_.clear();
                     session_.accept();
                   },
                   [&](const BodyOctets& e) {
                     note("body", e.octets);
                     message_ += e.octets;
                   },
                   [&](const AbandonMessage& e) {
                     note("abandon", e.why);
                     message_.clear();
                   },
                   [&](const EndOfMessage& e) {
                     note("end", decimal(e.octets));
                     messages.push_back(message_);
                     std::vector<Reply> replies;
                     for (const auto& recipient : recipients_)
                       replies.push_back({250, concat({"2.0.0 Took ", decimal(e.octets), " octets for ", recipient})});
                     if (settings_.mode == Mode::lmtp)
                       session_.answer_each(std::move(replies));
                     else
                       session_.answer({250, concat({"2.0.0 Took ", decimal(e.octets), " octets"})});
                   },
                   [&](const BeginTls&) { note("tls"); },
                   [&](const AuthBegin& e) {
                     mechanism_ = e.mechanism;
                     auth_step_ = 0;
                     note("mechanism", mechanism_);
                     if (e.response)
                       on_auth(*e.response);
                     else
                       session_.auth_challenge(mechanism_ == "LOGIN" ? "Username:" : "");
                   },
                   [&](const AuthResponse& e) { on_auth(e.response); },
                   [&](const AuthCancelled&) { note("cancelled"); },
                   [&](const Verify& e) { on_verify(e.argument); },
                   [&](const Expand& e) { on_verify(e.argument); },
                   [&](const FlushQueue& e) {
                     session_.answer({250, concat({"2.0.0 Queuing for ", e.argument, " started"})});
                   },
                   [&](const ResetTransaction&) {
                     note("reset");
                     recipients_.clear();
                   },
                   [&](const Close& e) {
                     note("close", e.why);
                     closed_ = true;
                   },
               },
               *event);
  }
  return output;
}

}  // namespace mail::test
