// NOTIFY (RFC 5465 section 3.1).
#include "imapd/notify.h"

#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

Completion notify(Session& session, imap::Arguments& arguments) {
  auto given = imap::take_notify(arguments);
  if (!given && given.error().kind == Error::Kind::refused)
    return no(concat({"[BADEVENT (", imap::kNotifyEventNames, ")] Unknown event"}));
  if (!given) return bad(given.error().text);
  const bool status = given->status;
  auto started = Notify::start(session, std::move(*given));
  if (!started) return std::move(started).error();
  if (status) (*started)->send_all_status(session);
  session.notify(std::move(*started));
  return ok("NOTIFY completed");
}

constexpr std::array kNotifyCommands{
    Command{.name = "NOTIFY", .run = notify, .capability = "NOTIFY", .disk = true, .polls = true},
};

}  // namespace

std::span<const Command> notify_commands() { return kNotifyCommands; }

}  // namespace mail::imapd
