// STORE and UID STORE (RFC 9051 section 6.4.6), with UNCHANGEDSINCE (RFC 7162 section 3.1.3).
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/flags.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"

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

/// The FETCH responses of STORE, in pieces.
class Report : public Work {
 public:
  Report(store::UidSet uids, bool with_flags, Completion completion)
      : rest_(std::move(uids)), with_flags_(with_flags), completion_(std::move(completion)) {}

  Completion step(Session& session) override {
    store::Uid last{};
    bool all = true;
    session.view().rows(rest_, [&](store::SequenceNumber number, const store::MessageRow& row) {
      session.send_flags_of(number, row, with_flags_, session.uid_command());
      last = row.uid;
      return all = session.out().size() < Session::kPiece;
    });
    if (all) return completion_;
    rest_ = above(rest_, last);
    return more();
  }

 private:
  store::UidSet rest_;
  bool with_flags_;
  Completion completion_;
};

Completion store_flags(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(what, take_store_arguments(session, arguments));
  if (session.read_only()) return no("[READ-ONLY] Mailbox is read-only");
  if (what.change.unchanged_since) session.use_condstore();
  if (what.change.uids.empty()) return ok("STORE completed, no such message");
  const auto outcome = session.view().store_flags(what.change);
  if (!outcome) return failed(outcome.error(), "Flags not stored");
  // A keyword that is new to the mailbox is told of before it is used (RFC 9051 section 7.3.5).
  if (!what.change.keywords.empty()) session.send_changes(false);
  Completion completion = ok("STORE completed");
  if (!outcome->modified.empty())
    completion = ok("[MODIFIED " + modified(session, outcome->modified) + "] Conditional STORE failed for some");
  // Told also of what was as asked for before (RFC 3501 section 6.4.6); what failed UNCHANGEDSINCE keeps its flags.
  if (!what.silent)
    return session.start(
        std::make_unique<Report>(difference(what.change.uids, outcome->modified), true, std::move(completion)));
  if (!session.enabled().condstore) return completion;
  store::UidSet changed;
  for (const auto uid : outcome->changed) changed.add(uid);
  return session.start(std::make_unique<Report>(std::move(changed), false, std::move(completion)));
}

constexpr std::array kStoreCommands{
    Command{.name = "STORE", .run = store_flags, .states = kSelected, .disk = true, .keeps_numbers = true},
    Command{.name = "UID STORE", .run = store_flags, .states = kSelected, .disk = true, .keeps_numbers = true},
};

}  // namespace

std::span<const Command> store_commands() { return kStoreCommands; }

}  // namespace mail::imapd
