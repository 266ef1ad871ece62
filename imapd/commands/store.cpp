// STORE and UID STORE (RFC 9051 section 6.4.6), with UNCHANGEDSINCE (RFC 7162 section 3.1.3).
#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/flags.h"
#include "imapd/message_limit.h"
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

/// STORE as far as the rights go (RFC 4314 section 4): a flag that the user may not change stays as it is. refused with
/// EACCES where nothing of what was asked for may be done.
Result<store::FlagOutcome> store_allowed(Session& session, store::FlagChange change) {
  using How = store::FlagChange::How;
  const auto& rights = session.selected_rights();
  const auto allowed = changeable(rights);
  if (allowed == ~store::Flags::none) return session.view().store_flags(change);
  const bool keywords = store::has_right(rights, 'w');
  const bool asks_nothing = change.flags == store::Flags::none && change.keywords.empty();
  change.flags = change.flags & allowed;
  if (!keywords) change.keywords.clear();
  const bool left = change.flags != store::Flags::none || !change.keywords.empty();
  if (change.how != How::replace) {
    if (!left && !asks_nothing) return tl::unexpected(Error{Error::Kind::refused, "no right", EACCES});
    return session.view().store_flags(change);
  }
  if (allowed == store::Flags::none) return tl::unexpected(Error{Error::Kind::refused, "no right", EACCES});
  // Replacing within what is allowed: those are added, the rest of the allowed ones is taken away.
  auto gone = change;
  change.how = How::add;
  gone.how = How::remove;
  gone.flags = allowed & ~change.flags;
  gone.keywords.clear();
  if (keywords)
    for (const auto& keyword : session.view().keywords())
      if (std::ranges::none_of(change.keywords, [&](const std::string& kept) { return iequals(kept, keyword); }))
        gone.keywords.push_back(keyword);
  MAIL_TRY(outcome, session.view().store_flags(change));
  gone.unchanged_since.reset();
  gone.uids = difference(gone.uids, outcome.modified);
  MAIL_TRY(removed, session.view().store_flags(gone));
  outcome.changed.insert(outcome.changed.end(), removed.changed.begin(), removed.changed.end());
  std::ranges::sort(outcome.changed);
  const auto repeated =
      std::unique(outcome.changed.begin(), outcome.changed.end());  // ranges::unique: not with clang 14
  outcome.changed.erase(repeated, outcome.changed.end());
  outcome.modseq = removed.modseq;
  return std::move(outcome);
}

Completion store_flags(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(what, take_store_arguments(session, arguments));
  if (session.read_only()) return no("[READ-ONLY] Mailbox is read-only");
  if (what.change.unchanged_since) session.use_condstore();
  if (what.change.uids.empty()) return ok("STORE completed, no such message");
  auto part = limited(session, std::move(what.change.uids));
  what.change.uids = std::move(part.uids);
  const auto outcome = store_allowed(session, what.change);
  if (!outcome) return failed(outcome.error(), "Flags not stored");
  // A keyword that is new to the mailbox is told of before it is used (RFC 9051 section 7.3.5).
  if (!what.change.keywords.empty()) session.send_changes(false);
  Completion completion = ok(part.code + "STORE completed");
  if (!outcome->modified.empty()) {
    if (!part.code.empty()) session.untagged("NO " + part.code + "Not all messages");
    completion = ok("[MODIFIED " + modified(session, outcome->modified) + "] Conditional STORE failed for some");
  }
  // What another session has expunged keeps its number until the client has heard of it; it has no flags any more
  // (RFC 2180 section 4.2). An unknown UID is no error (RFC 3501 section 6.4.8).
  if (!outcome->gone.empty() && !session.uid_command() && completion.kind == Completion::Kind::ok &&
      outcome->modified.empty())
    completion = no("[EXPUNGEISSUED] Some messages are gone");
  // Told also of what was as asked for before (RFC 3501 section 6.4.6); what failed UNCHANGEDSINCE keeps its flags.
  if (!what.silent)
    return session.start(std::make_unique<Report>(
        difference(difference(what.change.uids, outcome->modified), outcome->gone), true, std::move(completion)));
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
