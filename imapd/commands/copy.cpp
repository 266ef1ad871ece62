// COPY, MOVE and their UID forms (RFC 9051 sections 6.4.7 and 6.4.8), with COPYUID.
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/message_limit.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

std::string copy_uid(const store::CopyOutcome& outcome) {
  if (outcome.source.empty()) return {};
  return concat({"COPYUID ", decimal(store::number(outcome.uid_validity)), " ", outcome.source.text(), " ",
                 outcome.destination.text()});
}

Completion refused(const Error& error, std::string_view what) {
  if (error.kind == Error::Kind::not_found) return no("[TRYCREATE] No such mailbox");
  return failed(error, what);
}

struct CopyArguments {
  store::UidSet uids;
  std::string to;
};

Result<CopyArguments> take_copy_arguments(Session& session, imap::Arguments& arguments) {
  CopyArguments result;
  MAIL_TRY(set, arguments.sequence_set());
  MAIL_CHECK(arguments.space());
  MAIL_TRY(to, session.mailbox_argument(arguments));
  MAIL_CHECK(arguments.end());
  MAIL_TRY(uids, session.messages_of(set, session.uid_command()));
  result.uids = std::move(uids);
  result.to = std::move(to);
  return result;
}

/// With the flags that the user may set there (RFC 4314 section 4).
store::Destination destination(const Place& place) {
  store::Destination to(place.name, place.account);
  to.flags = changeable(place.rights);
  to.keywords = store::has_right(place.rights, 'w');
  return to;
}

Completion copy(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(what, take_copy_arguments(session, arguments));
  if (what.uids.empty()) return ok("COPY completed, nothing copied");
  if (auto text = over_limit(session, what.uids); !text.empty()) return no(std::move(text));
  Place place;
  if (auto refused = resolve(session, what.to, "i", place)) return std::move(*refused);
  auto copied = session.view().copy(what.uids, destination(place));
  if (!copied) return refused(copied.error(), "Not copied");
  session.made_here(what.to, copied->destination);
  const auto code = copy_uid(*copied);
  return ok(code.empty() ? "COPY completed" : "[" + code + "] COPY completed");
}

Completion move(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(what, take_copy_arguments(session, arguments));
  if (session.read_only()) return no("[READ-ONLY] Mailbox is read-only");
  if (what.uids.empty()) return ok("MOVE completed, nothing moved");
  const auto& rights = session.selected_rights();
  if (!store::has_right(rights, 't') || !store::has_right(rights, 'e')) return no_right();
  Place place;
  if (auto refused = resolve(session, what.to, "i", place)) return std::move(*refused);
  const auto part = limited(session, std::move(what.uids));
  auto moved = session.view().move(part.uids, destination(place));
  if (!moved) return refused(moved.error(), "Not moved");
  session.made_here(what.to, moved->destination);
  // RFC 6851 section 4.3: COPYUID goes before the EXPUNGEs, in an untagged OK.
  if (const auto code = copy_uid(*moved); !code.empty()) session.untagged("OK [" + code + "] Moved");
  session.send_changes(true);
  if (!part.code.empty()) return ok(part.code + "MOVE completed for some");
  if (session.enabled().qresync)
    return ok("[HIGHESTMODSEQ " + decimal(store::number(session.view().highest_modseq())) + "] MOVE completed");
  return ok("MOVE completed");
}

constexpr std::array kCopyCommands{
    Command{.name = "COPY", .run = copy, .states = kSelected, .disk = true},
    Command{.name = "UID COPY", .run = copy, .states = kSelected, .disk = true},
    Command{.name = "MOVE", .run = move, .states = kSelected, .capability = "MOVE", .disk = true},
    Command{.name = "UID MOVE", .run = move, .states = kSelected, .disk = true},
};

}  // namespace

std::span<const Command> copy_commands() { return kCopyCommands; }

}  // namespace mail::imapd
