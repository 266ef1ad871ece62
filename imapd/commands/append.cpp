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
Result<store::NewMessage> take_message(imap::Arguments& arguments) {
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
  MAIL_TRY(octets, arguments.literal());
  message.octets = octets;
  return message;
}

Completion append(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  std::vector<store::NewMessage> messages;
  while (arguments.take(' ')) {
    IMAPD_TRY(message, take_message(arguments));
    if (message.octets.empty()) return no("[CANNOT] A message cannot be empty");
    if (messages.size() == kMostMessages) return no("[LIMIT] Too many messages in one APPEND");
    messages.push_back(std::move(message));
  }
  IMAPD_CHECK(arguments.end());
  if (messages.empty()) return bad("Message expected");
  const auto outcome = session.account().append(name, messages);
  if (!outcome) {
    const auto& error = outcome.error();
    if (error.kind == Error::Kind::not_found) return no("[TRYCREATE] No such mailbox");
    if (error.kind == Error::Kind::permanent) return no("[TOOBIG] Message is too big");
    return failed(error, "Not appended");
  }
  return ok(concat({"[APPENDUID ", decimal(store::number(outcome->uid_validity)), " ", outcome->destination.text(),
                    "] APPEND completed"}));
}

constexpr std::array kAppendCommands{
    Command{.name = "APPEND", .run = append, .disk = true, .polls = true},
};

}  // namespace

std::span<const Command> append_commands() { return kAppendCommands; }

}  // namespace mail::imapd
