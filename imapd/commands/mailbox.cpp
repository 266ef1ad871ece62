// SELECT, EXAMINE, CLOSE, UNSELECT, EXPUNGE; CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.
#include <algorithm>
#include <array>
#include <optional>

#include "base/strings.h"
#include "imap/response.h"
#include "imapd/commands/families.h"
#include "imapd/commands/resync.h"
#include "imapd/message_limit.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

struct SelectParameters {
  bool condstore = false;
  std::optional<Resync> resync;
};

Result<SelectParameters> take_select_parameters(imap::Arguments& arguments) {
  SelectParameters parameters;
  MAIL_CHECK(arguments.space());
  MAIL_CHECK(arguments.open());
  do {
    MAIL_TRY(name, arguments.atom());
    if (iequals(name, "CONDSTORE")) {
      parameters.condstore = true;
    } else if (iequals(name, "QRESYNC")) {
      MAIL_CHECK(arguments.space());
      MAIL_TRY(resync, take_resync(arguments));
      parameters.resync = std::move(resync);
    } else {
      return fail(Error::Kind::syntax, "Unknown SELECT parameter");
    }
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return parameters;
}

void describe(Session& session) {
  auto& view = session.view();
  session.send_flags(true);
  session.untagged(decimal(view.exists()) + " EXISTS");
  if (!session.enabled().imap4rev2) {
    session.untagged(decimal(view.recent()) + " RECENT");
    // A message number, which UIDONLY has not.
    if (const auto unseen = view.first_unseen(); unseen && !session.enabled().uid_only)
      session.untagged("OK [UNSEEN " + decimal(store::number(*unseen)) + "] First unseen");
  }
  session.untagged("OK [UIDVALIDITY " + decimal(store::number(view.uid_validity())) + "] UIDs valid");
  session.untagged("OK [UIDNEXT " + decimal(store::number(view.uid_next())) + "] Predicted next UID");
  session.untagged("OK [HIGHESTMODSEQ " + decimal(store::number(view.highest_modseq())) + "] Highest");
  if (!view.mailbox_id().empty()) session.untagged("OK [MAILBOXID (" + view.mailbox_id() + ")] Ok");
  if (session.enabled().imap4rev2) {
    session.out() += "* LIST () ";
    imap::append_string(session.out(), std::string_view(&session.environment().store->settings().separator, 1));
    session.out() += ' ';
    session.append_mailbox(session.selected_name());
    session.out() += "\r\n";
  }
}

Completion select_mailbox(Session& session, imap::Arguments& arguments, bool examine) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  SelectParameters parameters;
  if (!arguments.at_end()) {
    IMAPD_TRY(given, take_select_parameters(arguments));
    parameters = std::move(given);
  }
  IMAPD_CHECK(arguments.end());
  if (parameters.resync && !session.enabled().qresync) return bad("ENABLE QRESYNC first");
  if (parameters.resync && parameters.resync->match_numbers && session.enabled().uid_only) return uid_required();

  // The mailbox that is selected is left whatever comes of it (RFC 9051 section 6.3.2).
  const auto leave = [&] {
    if (!session.selected()) return;
    session.close_mailbox();
    session.untagged("OK [CLOSED] Previous mailbox closed");
  };
  Place place;
  if (auto refused = resolve(session, name, "r", place)) {
    if (refused->kind != Completion::Kind::worker) leave();
    return std::move(*refused);
  }
  // Who may change nothing has it read-only (RFC 4314 section 5.1.1: as PERMANENTFLAGS says).
  const bool read_only = examine || place.rights.find_first_of("swte") == std::string::npos;
  auto view = place.account->select_ready(place.name, read_only);
  if (!view) {
    if (!session.may_block()) return on_worker();
    auto opened = place.account->select(place.name, read_only);
    if (!opened) {
      leave();
      return failed(opened.error(), "No such mailbox");
    }
    view = std::move(*opened);
  }
  leave();
  if (parameters.condstore || parameters.resync) session.enabled().condstore = true;
  session.select(std::move(view), std::move(name), std::move(place));
  describe(session);
  if (parameters.resync) answer_resync(session, *parameters.resync);
  return ok(concat({read_only ? "[READ-ONLY] " : "[READ-WRITE] ", examine ? "EXAMINE" : "SELECT", " completed"}));
}

Completion select(Session& session, imap::Arguments& arguments) { return select_mailbox(session, arguments, false); }
Completion examine(Session& session, imap::Arguments& arguments) { return select_mailbox(session, arguments, true); }

/// True where the view holds a message with \Deleted (among `uids`): EXPUNGE of nothing needs no disk.
bool any_deleted(const store::View& view, const store::UidSet& uids) {
  bool found = false;
  view.rows(uids, [&](store::SequenceNumber, const store::MessageRow& row) {
    found = store::has(row.flags, store::Flags::deleted);
    return !found;
  });
  return found;
}

store::UidSet deleted_of(const store::View& view, const store::UidSet& uids) {
  store::UidSet deleted;
  view.rows(uids, [&](store::SequenceNumber, const store::MessageRow& row) {
    if (store::has(row.flags, store::Flags::deleted)) deleted.add(row.uid);
    return true;
  });
  return deleted;
}

store::UidSet everything(const store::View& view) {
  if (view.exists() == 0) return {};
  return view.uids_of(store::SequenceNumber{1}, store::SequenceNumber{view.exists()});
}

Completion close(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  // Without the right it is as UNSELECT (RFC 4314 section 4).
  if (!session.read_only() && store::has_right(session.selected_rights(), 'e') &&
      any_deleted(session.view(), everything(session.view()))) {
    if (!session.may_block()) return on_worker();
    if (auto expunged = session.view().expunge(nullptr); !expunged) return failed(expunged.error(), "Not expunged");
  }
  session.close_mailbox();
  return ok("CLOSE completed");
}

/// UNSELECT: leaves the mailbox without expunging (RFC 3691 section 2).
Completion unselect(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  session.close_mailbox();
  return ok("UNSELECT completed");
}

Completion expunge(Session& session, imap::Arguments& arguments) {
  std::optional<store::UidSet> uids;
  if (session.uid_command()) {  // UID EXPUNGE (RFC 4315 section 2.1)
    IMAPD_TRY(set, arguments.sequence_set());
    IMAPD_TRY(messages, session.messages_of(set, true));
    uids = std::move(messages);
  }
  IMAPD_CHECK(arguments.end());
  if (session.read_only()) return no("[READ-ONLY] Mailbox is read-only");
  if (!store::has_right(session.selected_rights(), 'e')) return no_right();
  if (!session.may_block()) return on_worker();
  std::string limit;
  if (uids) {
    auto part = limited(session, deleted_of(session.view(), *uids));
    uids = std::move(part.uids);
    limit = std::move(part.code);
  }
  if (auto expunged = session.view().expunge(uids ? &*uids : nullptr); !expunged)
    return failed(expunged.error(), "Not expunged");
  session.send_changes(true);
  const std::string name = session.uid_command() ? "UID EXPUNGE completed" : "EXPUNGE completed";
  if (!limit.empty()) return ok(limit + name);
  if (!session.enabled().condstore) return ok(name);
  return ok("[HIGHESTMODSEQ " + decimal(store::number(session.view().highest_modseq())) + "] " + name);
}

/// CREATE name [(USE (\Sent))] (RFC 6154 section 3)
Completion create(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  std::string use;
  if (arguments.take(' ')) {
    IMAPD_CHECK(arguments.open());
    do {
      IMAPD_TRY(parameter, arguments.atom());
      if (!iequals(parameter, "USE")) return bad("Unknown CREATE parameter");
      IMAPD_CHECK(arguments.space());
      IMAPD_TRY(uses, arguments.flag_list());
      if (uses.size() > 1) return no("[USEATTR] Only one use is possible");
      if (!uses.empty()) use = uses.front();
      if (!use.empty() && !store::is_special_use(use)) return no("[USEATTR] Unknown use");
    } while (arguments.take(' '));
    IMAPD_CHECK(arguments.close());
  }
  IMAPD_CHECK(arguments.end());
  // A trailing separator says that children are to come (RFC 9051 section 6.3.4); here every mailbox may have some.
  const char separator = session.environment().store->settings().separator;
  if (name.size() > 1 && name.back() == separator) name.pop_back();
  Place place;
  if (auto refused = resolve(session, name, "", place)) return std::move(*refused);
  if (auto refused = may_create(session, place)) return std::move(*refused);
  if (place.foreign() && !use.empty()) return no("[USEATTR] Special uses are the owner's");
  if (auto created = place.account->create(place.name, use); !created) return failed(created.error(), "Not created");
  if (auto inherited = inherit_rights(session, place); !inherited)
    return failed(inherited.error(), "Created, but without the rights of its parent");
  if (auto status = place.account->status(place.name); status && !status->mailbox_id.empty())
    return ok("[MAILBOXID (" + status->mailbox_id + ")] CREATE completed");
  return ok("CREATE completed");
}

/// \Noselect: there are mailboxes below the name, and none of that name.
bool only_a_parent(const Place& place) {
  const auto all = place.account->list();
  return all && std::ranges::any_of(*all, [&](const store::MailboxEntry& entry) {
           return entry.name == place.name && !entry.exists && entry.has_children;
         });
}

Completion remove(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  if (name == "INBOX") return no("[CANNOT] INBOX cannot be deleted");
  Place place;
  if (auto refused = resolve(session, name, "x", place)) return std::move(*refused);
  const bool selected = session.selected() && session.selected_name() == name;
  if (auto removed = place.account->remove(place.name); !removed) {
    if (removed.error().kind == Error::Kind::not_found && only_a_parent(place))
      return no("[HASCHILDREN] Not deleted");  // RFC 9051 section 6.3.5
    return failed(removed.error(), "Not deleted");
  }
  if (selected) {
    session.close_mailbox();
    session.untagged("OK [CLOSED] The selected mailbox was deleted");
  }
  return ok("DELETE completed");
}

Completion rename(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(from, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(to, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  Place old_place, new_place;
  if (auto refused = resolve(session, from, "x", old_place)) return std::move(*refused);
  if (auto refused = resolve(session, to, "", new_place)) return std::move(*refused);
  if (auto refused = may_create(session, new_place)) return std::move(*refused);
  if (old_place.account != new_place.account) return no("[CANNOT] Mailboxes stay with their owner");
  if (auto renamed = old_place.account->rename(old_place.name, new_place.name); !renamed)
    return failed(renamed.error(), "Not renamed");
  session.renamed(from, to, new_place.name);
  return ok("RENAME completed");
}

Completion subscription(Session& session, imap::Arguments& arguments, bool subscribed) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  if (auto done = session.account().subscribe(name, subscribed); !done) return failed(done.error(), "Not changed");
  return ok(subscribed ? "SUBSCRIBE completed" : "UNSUBSCRIBE completed");
}
Completion subscribe(Session& session, imap::Arguments& arguments) { return subscription(session, arguments, true); }
Completion unsubscribe(Session& session, imap::Arguments& arguments) { return subscription(session, arguments, false); }

constexpr std::array kMailboxCommands{
    Command{.name = "SELECT", .run = select},
    Command{.name = "EXAMINE", .run = examine},
    Command{.name = "CLOSE", .run = close, .states = kSelected},
    Command{.name = "UNSELECT", .run = unselect, .states = kSelected, .capability = "UNSELECT"},
    Command{.name = "EXPUNGE", .run = expunge, .states = kSelected, .polls = true},
    Command{.name = "UID EXPUNGE", .run = expunge, .states = kSelected, .polls = true},
    Command{.name = "CREATE", .run = create, .disk = true},
    Command{.name = "DELETE", .run = remove, .disk = true},
    Command{.name = "RENAME", .run = rename, .disk = true},
    Command{.name = "SUBSCRIBE", .run = subscribe, .disk = true},
    Command{.name = "UNSUBSCRIBE", .run = unsubscribe, .disk = true},
};

}  // namespace

std::span<const Command> mailbox_commands() { return kMailboxCommands; }

}  // namespace mail::imapd
