// APPEND (RFC 9051 section 6.3.12) with MULTIAPPEND (3502), UIDPLUS (4315), BINARY (3516), APPENDLIMIT (7889), UTF8
// (6855).
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/flags.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

constexpr std::size_t kMostMessages = 1000;

/// One `[(flags)] ["date"] literal`.
Result<store::NewMessage> take_message(Session& session, imap::Arguments& arguments) {
  store::NewMessage message;
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
    return message;
  }
  if (arguments.cursor().take("{#")) {  // CommandReader::divert_literal()
    const auto number = arguments.cursor().take_decimal<std::size_t>();
    if (!number || !arguments.cursor().take("}\r\n")) return fail(Error::Kind::syntax, "Malformed literal");
    MAIL_TRY(staged, session.staged(*number));
    message.staged = std::move(staged);
    return message;
  }
  MAIL_TRY(octets, arguments.literal());
  message.octets = octets;
  return message;
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
  std::vector<store::NewMessage> messages;
  while (arguments.take(' ')) {
    auto message_result = take_message(session, arguments);
    if (!message_result)
      return message_result.error().kind == Error::Kind::syntax ? bad(message_result.error().text)
                                                                : refused(message_result.error());
    auto& message = *message_result;
    if (message.octets.empty() && !message.staged) return no("[CANNOT] A message cannot be empty");
    if (messages.size() == kMostMessages) return no("[LIMIT] Too many messages in one APPEND");
    messages.push_back(std::move(message));
  }
  IMAPD_CHECK(arguments.end());
  if (messages.empty()) return bad("Message expected");
  Place place;
  if (auto no = resolve(session, name, "i", place)) return std::move(*no);
  for (auto& message : messages) keep_allowed(message, place.rights);
  const auto outcome = place.account->append(place.name, messages);
  if (!outcome) return refused(outcome.error());
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
  auto message_result = take_message(session, arguments);
  if (!message_result)
    return message_result.error().kind == Error::Kind::syntax ? bad(message_result.error().text)
                                                              : refused(message_result.error());
  auto& message = *message_result;
  IMAPD_CHECK(arguments.end());
  IMAPD_TRY(old, session.messages_of(set, session.uid_command()));
  if (old.count() > 1) return bad("REPLACE takes one message");
  if (old.empty()) return no("[NONEXISTENT] No such message");
  if (session.read_only()) return no("[READ-ONLY] Mailbox is read-only");
  if (message.octets.empty() && !message.staged) return no("[CANNOT] A message cannot be empty");
  Place place;
  if (auto no = resolve(session, name, "i", place)) return std::move(*no);
  const auto& rights = session.selected_rights();
  if (!store::has_right(rights, 't') || !store::has_right(rights, 'e')) return no_right();
  keep_allowed(message, place.rights);
  const auto outcome = place.account->append(place.name, {&message, 1});
  if (!outcome) return refused(outcome.error());
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
    Command{.name = "APPEND", .run = append, .disk = true, .polls = true},
    Command{.name = "REPLACE", .run = replace, .states = kSelected, .capability = "REPLACE", .disk = true},
    Command{.name = "UID REPLACE", .run = replace, .states = kSelected, .disk = true},
};

}  // namespace

std::span<const Command> append_commands() { return kAppendCommands; }

}  // namespace mail::imapd
