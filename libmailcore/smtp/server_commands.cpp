#include "smtp/server_commands.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace mail::smtp {
namespace {

using Command = ServerCommands::Command;

constexpr Rules kHelloSmtp{.lmtp = false, .before_tls = true};
constexpr Rules kHelloLmtp{.smtp = false, .before_tls = true};
constexpr Rules kAnywhere{.before_tls = true};
constexpr Rules kAsking{};

// Sorted by verb. RFC 5321 section 4.1.1, RFC 1985, 2033, 3030, 3207, 4954.
constexpr std::array kCommands{
    Command{
        "AUTH", ServerCommands::auth, {.needs_hello = true, .no_sender = true}, "AUTH mechanism [initial-response]"},
    Command{"BDAT", ServerCommands::bdat, {}, "BDAT octets [LAST]"},
    Command{"DATA",
            ServerCommands::data,
            {.needs_sender = true, .needs_recipient = true, .no_chunks = true, .no_arguments = true}},
    Command{"EHLO", ServerCommands::ehlo, kHelloSmtp, "EHLO domain"},
    Command{"ETRN", ServerCommands::etrn, {.needs_hello = true, .no_sender = true}, "ETRN domain"},
    Command{"EXPN", ServerCommands::expn, kAsking, "EXPN list"},
    Command{"HELO", ServerCommands::helo, kHelloSmtp, "HELO domain"},
    Command{"HELP", ServerCommands::help, kAnywhere},
    Command{"LHLO", ServerCommands::lhlo, kHelloLmtp, "LHLO domain"},
    Command{"MAIL",
            ServerCommands::mail,
            {.needs_hello = true, .no_sender = true},
            "MAIL FROM:<reverse-path> [parameters]"},
    Command{"NOOP", ServerCommands::noop, kAnywhere},
    Command{"QUIT", ServerCommands::quit, kAnywhere},
    Command{
        "RCPT", ServerCommands::rcpt, {.needs_sender = true, .no_chunks = true}, "RCPT TO:<forward-path> [parameters]"},
    Command{"RSET", ServerCommands::rset, {.before_tls = true, .no_arguments = true}},
    Command{"STARTTLS", ServerCommands::starttls, {.before_tls = true, .no_sender = true, .no_arguments = true}},
    Command{"VRFY", ServerCommands::vrfy, kAsking, "VRFY address"},
};
static_assert(std::ranges::is_sorted(kCommands, {}, &Command::verb));

// What a browser or a web service would send when somebody made it talk to us: nothing of it is obeyed (cross-protocol
// attacks).
constexpr std::array<std::string_view, 9> kForeign{
    "CONNECT", "DELETE", "GET", "HEAD", "HOST:", "OPTIONS", "POST", "PUT", "USER-AGENT:"};

std::string_view syntax_of(const Command& command) { return command.syntax.empty() ? command.verb : command.syntax; }

Reply bad_syntax(std::string_view syntax) { return {501, concat({"5.5.4 Syntax: ", syntax})}; }

/// "FROM:" or "TO:"; with the lenient switch blanks may stand around the colon (hand-typed, and several devices).
bool take_colon(Cursor& cursor, std::string_view word, bool lenient) {
  if (!cursor.take_word(word)) return false;
  if (lenient) cursor.take_while(is_space);
  if (!cursor.take(':')) return false;
  if (lenient) cursor.take_while(is_space);
  return true;
}

}  // namespace

std::optional<Event> ServerCommands::dispatch(ServerSession& session, std::string_view line) {
  Cursor cursor(line);
  const auto verb = cursor.take_while([](unsigned char c) { return !is_space(c); });
  cursor.take_while(is_space);
  const auto refuse = [&](Reply reply) {
    session.queue(reply);
    return session.due();
  };
  for (const char c : line) {
    if (c == '\r' || c == '\0') return refuse({500, "5.5.2 A bare CR or NUL in a command"});
  }
  if (verb.size() > 12 && !is_utf8(verb)) return refuse({500, "5.5.2 This is no command"});
  const auto command = std::ranges::find_if(kCommands, [&](const Command& row) { return iequals(row.verb, verb); });
  if (session.state_ == ServerSession::State::refused &&
      (command == kCommands.end() || command->verb != std::string_view("QUIT")))
    return refuse({503, "5.5.1 This host takes no mail from you: only QUIT is understood"});
  const bool lmtp = session.settings_->mode == Mode::lmtp;
  if (command == kCommands.end() || !(lmtp ? command->rules.lmtp : command->rules.smtp)) {
    const bool foreign = std::ranges::any_of(kForeign, [&](std::string_view word) { return iequals(word, verb); });
    if (foreign) session.close("foreign");
    return refuse(foreign ? Reply{421, "4.7.0 This is no web server"} : Reply{500, "5.5.1 Command unknown"});
  }
  Cursor arguments(trim(cursor.rest()));
  if (auto refusal = misplaced(session, *command, arguments)) {
    // The octets behind a BDAT come anyway and must not be read as commands.
    if (command->run == bdat) return refuse_chunk(session, *std::move(refusal));
    return refuse(*std::move(refusal));
  }
  return command->run(session, arguments);
}

MaybeReply ServerCommands::misplaced(const ServerSession& session, const Command& command, const Cursor& arguments) {
  const auto& rules = command.rules;
  const auto& settings = *session.settings_;
  if (settings.tls_required && settings.tls && !session.facts_.tls && !rules.before_tls)
    return Reply{530, "5.7.0 Must issue a STARTTLS command first"};
  if (rules.needs_hello && settings.hello_required && !session.greeted_)
    return Reply{503, settings.mode == Mode::lmtp ? "5.5.1 Send LHLO first" : "5.5.1 Send HELO or EHLO first"};
  if (rules.no_sender && session.have_sender_) return Reply{503, "5.5.1 A mail transaction is under way"};
  if (rules.needs_sender && !session.have_sender_) return Reply{503, "5.5.1 Send MAIL first"};
  if (rules.no_chunks && session.chunking_) return Reply{503, "5.5.1 A message is coming by BDAT"};
  if (rules.needs_recipient && session.accepted_recipients_ == 0) {
    // RFC 2033 section 4.2 asks for 503 in LMTP.
    if (session.tried_recipient_ && settings.mode != Mode::lmtp) return Reply{554, "5.5.1 No valid recipients"};
    return Reply{503, "5.5.1 Send RCPT first"};
  }
  if (rules.no_arguments && !arguments.at_end())
    return Reply{501, concat({"5.5.4 ", command.verb, " takes no arguments"})};
  return {};
}

std::optional<Event> ServerCommands::hello(ServerSession& session, std::string_view verb, Cursor& arguments) {
  const auto domain = arguments.rest();
  const bool plausible = is_domain(domain) || domain.find_first_of(" \t") == std::string_view::npos;
  if (domain.empty() || !(session.settings_->lenient ? plausible : is_domain(domain))) {
    session.queue(bad_syntax(concat({verb, " domain"})));
    return session.due();
  }
  session.end_transaction();
  session.extended_hello_ = verb != "HELO";
  session.pending_ = ServerSession::Pending::hello;
  session.deferred_ = CheckHello{verb, domain};
  return session.due();
}
std::optional<Event> ServerCommands::ehlo(ServerSession& session, Cursor& arguments) {
  return hello(session, "EHLO", arguments);
}
std::optional<Event> ServerCommands::helo(ServerSession& session, Cursor& arguments) {
  return hello(session, "HELO", arguments);
}
std::optional<Event> ServerCommands::lhlo(ServerSession& session, Cursor& arguments) {
  return hello(session, "LHLO", arguments);
}

std::optional<Event> ServerCommands::mail(ServerSession& session, Cursor& arguments) {
  const auto& settings = *session.settings_;
  const auto refuse = [&](Reply reply) {
    session.queue(reply);
    return session.due();
  };
  if (settings.auth_required && !session.facts_.authenticated) return refuse({530, "5.7.0 Authentication required"});
  if (settings.transactions != 0 && session.transactions_ >= settings.transactions)
    return refuse({452, "4.5.3 Too many messages in one session"});
  if (!take_colon(arguments, "FROM", settings.lenient))
    return refuse(bad_syntax("MAIL FROM:<reverse-path> [parameters]"));
  session.mail_ = {};
  auto path = take_path(arguments, {.without_brackets = settings.lenient, .null = true});
  if (!path) return refuse({501, concat({"5.1.7 ", path.error().text})});
  session.mail_.reverse_path = *std::move(path);
  if (!arguments.at_end() && !is_space(static_cast<unsigned char>(arguments.peek())))
    return refuse({501, "5.1.7 Something follows the reverse-path"});
  if (auto refusal = read_mail_parameters(arguments.rest(), settings, session.facts_, session.mail_))
    return refuse(*std::move(refusal));
  // RFC 6531 section 3.5.
  if (needs_smtputf8(session.mail_.reverse_path) && !session.mail_.parameters.smtputf8)
    return refuse({553, "5.6.7 The address needs the SMTPUTF8 parameter"});
  session.smtputf8_ = session.mail_.parameters.smtputf8;
  session.binary_ = session.mail_.parameters.body == Body::binary_mime;
  session.pending_ = ServerSession::Pending::sender;
  return CheckSender{session.mail_};
}

std::optional<Event> ServerCommands::rcpt(ServerSession& session, Cursor& arguments) {
  const auto& settings = *session.settings_;
  const auto refuse = [&](Reply reply) {
    session.tried_recipient_ = true;
    session.queue(reply);
    return session.due();
  };
  if (!take_colon(arguments, "TO", settings.lenient)) return refuse(bad_syntax("RCPT TO:<forward-path> [parameters]"));
  session.rcpt_ = {};
  auto path = take_path(arguments, {.without_brackets = settings.lenient});
  if (!path) return refuse({501, concat({"5.1.3 ", path.error().text})});
  session.rcpt_.forward_path = *std::move(path);
  if (!arguments.at_end() && !is_space(static_cast<unsigned char>(arguments.peek())))
    return refuse({501, "5.1.3 Something follows the forward-path"});
  if (auto refusal = read_rcpt_parameters(arguments.rest(), settings, session.facts_, session.rcpt_))
    return refuse(*std::move(refusal));
  if (needs_smtputf8(session.rcpt_.forward_path) && !session.smtputf8_)
    return refuse({553, "5.6.7 The address needs the SMTPUTF8 parameter"});
  // RFC 5321 section 4.5.3.1.10: temporary, the client sends the rest in another transaction.
  if (session.accepted_recipients_ >= settings.recipients) return refuse({452, "4.5.3 Too many recipients"});
  session.pending_ = ServerSession::Pending::recipient;
  return CheckRecipient{session.rcpt_};
}

std::optional<Event> ServerCommands::data(ServerSession& session, Cursor&) {
  if (session.binary_) {  // RFC 3030 section 3
    session.queue({503, "5.5.1 BINARYMIME comes by BDAT"});
    return session.due();
  }
  session.pending_ = ServerSession::Pending::data;
  return BeginMessage{false};
}

std::optional<Event> ServerCommands::refuse_chunk(ServerSession& session, Reply reply) {
  const auto words = split_words(session.line_);
  const auto octets = words.size() > 1 ? parse_decimal(words[1]) : std::nullopt;
  session.queue(reply);
  if (!octets) {
    session.close("unreadable chunk");
    return session.due();
  }
  session.chunk_left_ = *octets;
  session.swallow_ = true;
  session.swallow_answered_ = true;
  session.state_ = ServerSession::State::chunk;
  return session.due();
}

std::optional<Event> ServerCommands::bdat(ServerSession& session, Cursor& arguments) {
  using Pending = ServerSession::Pending;
  const auto octets = arguments.take_decimal();
  arguments.take_while(is_space);
  const bool last = arguments.take_word("LAST");
  if (!octets || !arguments.at_end() || !session.settings_->chunking) {
    // How many octets follow is unknown: what comes may not be read as commands.
    session.queue(session.settings_->chunking ? bad_syntax("BDAT octets [LAST]")
                                              : Reply{502, "5.5.1 BDAT is not offered"});
    session.queue({421, "4.5.0 Cannot tell where the next command begins"});
    session.close("unreadable chunk");
    return session.due();
  }
  if (!session.have_sender_) return refuse_chunk(session, {503, "5.5.1 Send MAIL first"});
  if (session.accepted_recipients_ == 0)
    return refuse_chunk(session, session.tried_recipient_ ? Reply{554, "5.5.1 No valid recipients"}
                                                          : Reply{503, "5.5.1 Send RCPT first"});
  session.chunk_octets_ = session.chunk_left_ = *octets;
  session.last_chunk_ = last;
  session.swallow_ = session.verdict_.code != 0;
  if (session.chunking_) {
    session.state_ = ServerSession::State::chunk;
    return session.due();
  }
  session.pending_ = Pending::chunk;
  return BeginMessage{true};
}

std::optional<Event> ServerCommands::rset(ServerSession& session, Cursor&) {
  session.end_transaction();
  session.queue({250, "2.0.0 Reset"});
  return session.due();
}

std::optional<Event> ServerCommands::noop(ServerSession& session, Cursor&) {
  session.queue({250, "2.0.0 OK"});
  return session.due();
}

std::optional<Event> ServerCommands::quit(ServerSession& session, Cursor&) {
  session.end_transaction();
  session.queue({221, concat({"2.0.0 ", session.settings_->host_name, " closing connection"})});
  session.close("quit");
  return session.due();
}

std::optional<Event> ServerCommands::help(ServerSession& session, Cursor& arguments) {
  const bool lmtp = session.settings_->mode == Mode::lmtp;
  std::string verbs = "2.0.0 Commands:";
  for (const auto& command : kCommands) {
    if (!(lmtp ? command.rules.lmtp : command.rules.smtp)) continue;
    if (iequals(command.verb, arguments.rest())) {
      session.queue({214, concat({"2.0.0 ", syntax_of(command)})});
      return session.due();
    }
    verbs.append(" ").append(command.verb);
  }
  session.queue({214, std::move(verbs)});
  return session.due();
}

std::optional<Event> ServerCommands::starttls(ServerSession& session, Cursor&) {
  if (!session.settings_->tls || session.facts_.tls) {
    session.queue(
        {session.facts_.tls ? 503 : 502, session.facts_.tls ? "5.5.1 TLS is active" : "5.5.1 STARTTLS is not offered"});
    return session.due();
  }
  session.queue({220, "2.0.0 Ready to start TLS"});
  session.then_ = ServerSession::Then::begin_tls;
  return session.due();
}

std::optional<Event> ServerCommands::auth(ServerSession& session, Cursor& arguments) {
  const auto& settings = *session.settings_;
  const auto refuse = [&](Reply reply) {
    session.queue(reply);
    return session.due();
  };
  const auto has = [](const std::vector<std::string>& names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
  };
  if (session.facts_.authenticated) return refuse({503, "5.5.1 Already authenticated"});
  if (settings.auth_in_clear.empty() && settings.auth_under_tls.empty())
    return refuse({502, "5.5.1 AUTH is not offered"});
  const auto given = arguments.take_while([](unsigned char c) { return !is_space(c); });
  arguments.take_while(is_space);
  if (given.empty()) return refuse(bad_syntax("AUTH mechanism [initial-response]"));
  session.mechanism_ = to_upper(given);
  if (!has(session.facts_.tls ? settings.auth_under_tls : settings.auth_in_clear, session.mechanism_)) {
    if (!session.facts_.tls && has(settings.auth_under_tls, session.mechanism_))
      return refuse({538, "5.7.11 Encryption required for the requested mechanism"});
    return refuse({504, "5.5.4 Unknown mechanism"});
  }
  std::optional<std::string_view> response;
  if (!arguments.at_end()) {
    const auto text = arguments.rest();
    auto decoded = text == "=" ? std::optional<std::string>(std::string()) : from_base64(text);
    if (!decoded) return refuse({501, "5.5.2 The initial response is not base64"});
    session.line_ = *std::move(decoded);
    response = session.line_;
  }
  session.pending_ = ServerSession::Pending::auth;
  return AuthBegin{session.mechanism_, response};
}

std::optional<Event> ServerCommands::vrfy(ServerSession& session, Cursor& arguments) {
  if (arguments.at_end()) {
    session.queue(bad_syntax("VRFY address"));
  } else if (!session.settings_->verify) {
    session.queue({252, "2.5.0 Cannot verify, but will take a message and try to deliver it"});
  } else {
    session.pending_ = ServerSession::Pending::other;
    return Verify{arguments.rest()};
  }
  return session.due();
}

std::optional<Event> ServerCommands::expn(ServerSession& session, Cursor& arguments) {
  if (!session.settings_->expand) {
    session.queue({502, "5.5.1 EXPN is not allowed here"});
  } else if (arguments.at_end()) {
    session.queue(bad_syntax("EXPN list"));
  } else {
    session.pending_ = ServerSession::Pending::other;
    return Expand{arguments.rest()};
  }
  return session.due();
}

std::optional<Event> ServerCommands::etrn(ServerSession& session, Cursor& arguments) {
  if (!session.settings_->etrn) {
    session.queue({502, "5.5.1 ETRN is not offered"});
  } else if (arguments.at_end()) {
    session.queue({501, "5.5.4 Syntax: ETRN domain"});
  } else {
    session.pending_ = ServerSession::Pending::other;
    return FlushQueue{arguments.rest()};
  }
  return session.due();
}

}  // namespace mail::smtp
