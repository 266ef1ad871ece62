// STORE and UID STORE (RFC 9051 section 6.4.6), with UNCHANGEDSINCE (RFC 7162 section 3.1.3).
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/flags.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

struct StoreArguments {
  store::FlagChange change;
  bool silent = false;
};

Result<StoreArguments> take_store_arguments(Session& session, imap::Arguments& arguments) {
  StoreArguments result;
  MAIL_TRY(set, arguments.sequence_set());
  MAIL_CHECK(arguments.space());
  if (arguments.take('(')) {
    if (!arguments.take_word("UNCHANGEDSINCE ")) return fail(Error::Kind::syntax, "Unknown STORE modifier");
    MAIL_TRY(modseq, arguments.number64());
    result.change.unchanged_since = store::ModSeq{modseq};
    MAIL_CHECK(arguments.close());
    MAIL_CHECK(arguments.space());
  }
  using How = store::FlagChange::How;
  result.change.how = arguments.take('+') ? How::add : arguments.take('-') ? How::remove : How::replace;
  if (!arguments.take_word("FLAGS")) return fail(Error::Kind::syntax, "FLAGS expected");
  result.silent = arguments.take_word(".SILENT");
  MAIL_CHECK(arguments.space());
  MAIL_TRY(names, arguments.flag_list(true));
  MAIL_CHECK(arguments.end());
  MAIL_TRY(flags, flags_of(names));
  result.change.flags = flags.flags;
  result.change.keywords = std::move(flags.keywords);
  MAIL_TRY(uids, session.messages_of(set, session.uid_command()));
  result.change.uids = std::move(uids);
  return result;
}

/// MODIFIED lists what the client named: sequence numbers, or UIDs in UID STORE.
std::string modified(Session& session, const store::UidSet& uids) {
  if (session.uid_command()) return uids.text();
  imap::NumberSet numbers;
  uids.for_each([&](store::Uid uid) {
    if (const auto number = session.view().sequence(uid)) numbers.add(store::number(*number));
  });
  return numbers.text();
}

Completion store_flags(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(what, take_store_arguments(session, arguments));
  if (session.read_only()) return no("[READ-ONLY] Mailbox is read-only");
  if (what.change.unchanged_since) session.use_condstore();
  if (what.change.uids.empty()) return ok("STORE completed, no such message");
  const auto outcome = session.view().store_flags(what.change);
  if (!outcome) return failed(outcome.error(), "Flags not stored");
  // A keyword that is new to the mailbox is told of before it is used (RFC 9051 section 7.3.5).
  if (!what.change.keywords.empty()) session.send_changes(false);
  if (!what.silent) {
    // Also for what was as asked for before (RFC 3501 section 6.4.6: the new value is returned); what failed
    // UNCHANGEDSINCE keeps its flags.
    what.change.uids.for_each([&](store::Uid uid) {
      if (!outcome->modified.contains(uid)) session.send_flags_of(uid, true, session.uid_command());
    });
  } else if (session.enabled().condstore) {
    for (const auto uid : outcome->changed) session.send_flags_of(uid, false, session.uid_command());
  }
  if (!outcome->modified.empty())
    return ok("[MODIFIED " + modified(session, outcome->modified) + "] Conditional STORE failed for some");
  return ok("STORE completed");
}

constexpr std::array kStoreCommands{
    Command{.name = "STORE", .run = store_flags, .states = kSelected, .disk = true, .keeps_numbers = true},
    Command{.name = "UID STORE", .run = store_flags, .states = kSelected, .disk = true, .keeps_numbers = true},
};

}  // namespace

std::span<const Command> store_commands() { return kStoreCommands; }

}  // namespace mail::imapd
