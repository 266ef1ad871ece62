// IDLE (RFC 2177): the client is told of changes as they come, until it says DONE.
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

Completion idle(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  session.start_idle();
  if (session.selected() && session.tells_changes()) session.send_changes(true);
  auto completion = session.read_line(
      [&session](std::string_view line) {
        session.stop_idle();
        return iequals(trim(line), "DONE") ? ok("IDLE completed") : bad("DONE expected");
      },
      "idling");
  // What came between the last command and now is looked for at once, not at the next notice.
  session.wake();
  return completion;
}

constexpr std::array kIdleCommands{
    Command{
        .name = "IDLE", .run = idle, .states = kLoggedIn, .capability = "IDLE", .polls = true, .announced_early = true},
};

}  // namespace

std::span<const Command> idle_commands() { return kIdleCommands; }

}  // namespace mail::imapd
