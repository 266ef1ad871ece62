// APPEND (RFC 9051 section 6.3.12) with MULTIAPPEND (3502), UIDPLUS (4315), BINARY (3516), APPENDLIMIT (7889), UTF8
// (6855), CATENATE (4469).
#include <array>

#include "base/strings.h"
#include "imapd/commands/catenate.h"
#include "imapd/commands/families.h"
#include "imapd/flags.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

/// MULTIAPPEND is all or nothing; fewer where imap.message_limit says so (RFC 9738 section 3.1).
constexpr std::size_t kMostMessages = 1000;

struct MessageArgument {
  store::NewMessage message;
  std::vector<CatenatePart> parts;  ///< Of CATENATE, instead of a literal.
};

/// One `[(flags)] ["date"] literal`.
Result<MessageArgument> take_message(Session& session, imap::Arguments& arguments) {
  MessageArgument argument;
  auto& message = argument.message;
  if (arguments.peek() == '(') {
    MAIL_TRY(names, arguments.flag_list());
    MAIL_TRY(flags, flags_of(names));
    message.flags = flags.flags;
    message.keywords = std::move(flags.keywords);
    MAIL_CHECK(arguments.space());
  }
  if (arguments.peek() == '"') {
    MAIL_TRY(date, arguments.date_time());
    message.internal_date = date.instant.time_since_epoch().count();
    MAIL_CHECK(arguments.space());
  }
  if (arguments.take_word("UTF8 ")) {  // UTF8 (~{n} …), RFC 6855 section 4
    MAIL_CHECK(arguments.open());
    MAIL_TRY(octets, arguments.literal());
    MAIL_CHECK(arguments.close());
    message.octets = octets;
    return argument;
  }
  if (arguments.take_word("CATENATE ")) {
    MAIL_TRY(parts, take_catenate(session, arguments));
    argument.parts = std::move(parts);
    return argument;
  }
  MAIL_TRY(literal, session.take_message_literal(arguments));
  message.octets = literal.octets;
  message.staged = std::move(literal.staged);
  return argument;
}

/// Puts a message of CATENATE together. Completion: why it cannot be appended.
std::optional<Completion> prepare(Session& session, MessageArgument& argument) {
  if (!argument.parts.empty()) {
    auto staged = catenate(session, argument.parts);
    if (!staged) return std::move(staged).error();
    argument.message.staged = std::move(*staged);
  }
  const auto& message = argument.message;
  if (message.octets.empty() && (!message.staged || message.staged->octets() == 0))
    return no("[CANNOT] A message cannot be empty");
  return std::nullopt;
}

Completion refused(const Error& error) {
  if (error.kind == Error::Kind::not_found) return no("[TRYCREATE] No such mailbox");
  if (error.kind == Error::Kind::permanent) return no("[TOOBIG] Message is too big");
  return failed(error, "Not appended");
}

/// Flags that the user may not set there are left away (RFC 4314 section 4).
void keep_allowed(store::NewMessage& message, std::string_view rights) {
  message.flags = message.flags & changeable(rights);
  if (!store::has_right(rights, 'w')) message.keywords.clear();
}

Completion append(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  std::vector<MessageArgument> given;
  while (arguments.take(' ')) {
    auto message = take_message(session, arguments);
    if (!message)
      return message.error().kind == Error::Kind::syntax ? bad(message.error().text) : refused(message.error());
    if (const auto limit = session.environment().settings.imap.message_limit; limit != 0 && given.size() == limit)
      return no("[MESSAGELIMIT " + decimal(limit) + "] Too many messages in one APPEND");
    if (given.size() == kMostMessages) return no("[LIMIT] Too many messages in one APPEND");
    given.push_back(std::move(*message));
  }
  IMAPD_CHECK(arguments.end());
  if (given.empty()) return bad("Message expected");
  Place place;
  if (auto no = resolve(session, name, "i", place)) return std::move(*no);
  std::vector<store::NewMessage> messages;
  for (auto& argument : given) {
    if (auto refusal = prepare(session, argument)) return *refusal;
    keep_allowed(argument.message, place.rights);
    messages.push_back(std::move(argument.message));
  }
  const auto outcome = place.account->append(place.name, messages);
  if (!outcome) return refused(outcome.error());
  session.made_here(name, outcome->destination);
  return ok(concat({"[APPENDUID ", decimal(store::number(outcome->uid_validity)), " ", outcome->destination.text(),
                    "] APPEND completed"}));
}

/// REPLACE and UID REPLACE (RFC 8508): APPEND of the new message and removal of the old one. The new one is durable
/// before the old one goes.
Completion replace(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(set, arguments.sequence_set());
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  auto argument = take_message(session, arguments);
  if (!argument)
    return argument.error().kind == Error::Kind::syntax ? bad(argument.error().text) : refused(argument.error());
  IMAPD_CHECK(arguments.end());
  IMAPD_TRY(old, session.messages_of(set, session.uid_command()));
  if (old.count() > 1) return bad("REPLACE takes one message");
  if (old.empty()) return no("[NONEXISTENT] No such message");
  if (session.read_only()) return no("[READ-ONLY] Mailbox is read-only");
  Place place;
  if (auto no = resolve(session, name, "i", place)) return std::move(*no);
  const auto& rights = session.selected_rights();
  if (!store::has_right(rights, 't') || !store::has_right(rights, 'e')) return no_right();
  if (auto refusal = prepare(session, *argument)) return *refusal;
  keep_allowed(argument->message, place.rights);
  const bool same_quota = place.account == session.selected_place().account;
  const auto outcome = place.account->append(place.name, {&argument->message, 1},
                                             same_quota ? session.view().usage(old) : store::QuotaUsage{});
  if (!outcome) return refused(outcome.error());
  session.made_here(name, outcome->destination);
  session.untagged(concat({"OK [APPENDUID ", decimal(store::number(outcome->uid_validity)), " ",
                           outcome->destination.text(), "] Replacement"}));
  store::FlagChange gone;
  gone.uids = old;
  gone.flags = store::Flags::deleted;
  if (auto marked = session.view().store_flags(gone); !marked)
    return failed(marked.error(), "The old message is still there");
  if (auto expunged = session.view().expunge(&old); !expunged)
    return failed(expunged.error(), "The old message is still there");
  session.send_changes(true);
  return ok("REPLACE completed");
}

constexpr std::array kAppendCommands{
    Command{.name = "APPEND", .run = append, .capability = "CATENATE", .disk = true, .polls = true},
    Command{.name = "REPLACE", .run = replace, .states = kSelected, .capability = "REPLACE", .disk = true},
    Command{.name = "UID REPLACE", .run = replace, .states = kSelected, .disk = true},
};

}  // namespace

std::span<const Command> append_commands() { return kAppendCommands; }

}  // namespace mail::imapd
