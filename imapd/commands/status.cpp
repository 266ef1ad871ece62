#include "imapd/commands/status.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

using store::MailboxStatus;

constexpr std::array kStatusItems{
    StatusItem{"APPENDLIMIT",
               [](const MailboxStatus&, const Session& session, std::string& out) {
                 append_decimal(out, session.environment().settings.imap.append_octets.count);
               }},
    StatusItem{"DELETED",
               [](const MailboxStatus& s, const Session&, std::string& out) { append_decimal(out, s.deleted); }},
    StatusItem{"DELETED-STORAGE",
               [](const MailboxStatus& s, const Session&, std::string& out) { append_decimal(out, s.deleted_octets); }},
    StatusItem{"HIGHESTMODSEQ",
               [](const MailboxStatus& s, const Session&, std::string& out) {
                 append_decimal(out, store::number(s.highest_modseq));
               },
               true},
    StatusItem{"MAILBOXID",
               [](const MailboxStatus& s, const Session&, std::string& out) { out += "(" + s.mailbox_id + ")"; }},
    StatusItem{"MESSAGES",
               [](const MailboxStatus& s, const Session&, std::string& out) { append_decimal(out, s.messages); }},
    StatusItem{"RECENT",
               [](const MailboxStatus& s, const Session&, std::string& out) { append_decimal(out, s.recent); }},
    StatusItem{"SIZE", [](const MailboxStatus& s, const Session&, std::string& out) { append_decimal(out, s.octets); }},
    StatusItem{"UIDNEXT", [](const MailboxStatus& s, const Session&,
                             std::string& out) { append_decimal(out, store::number(s.uid_next)); }},
    StatusItem{"UIDVALIDITY", [](const MailboxStatus& s, const Session&,
                                 std::string& out) { append_decimal(out, store::number(s.uid_validity)); }},
    StatusItem{"UNSEEN",
               [](const MailboxStatus& s, const Session&, std::string& out) { append_decimal(out, s.unseen); }},
};

}  // namespace

Result<StatusItems> take_status_items(imap::Arguments& arguments) {
  MAIL_TRY(words, arguments.atom_list());
  if (words.empty()) return fail(Error::Kind::syntax, "STATUS items expected");
  StatusItems items;
  for (const auto& word : words) {
    const auto row = std::ranges::find(kStatusItems, word, &StatusItem::name);
    if (row == kStatusItems.end()) return imap::unknown("STATUS item", word);
    if (std::ranges::find(items, &*row) == items.end()) items.push_back(&*row);
  }
  return items;
}

void append_status(Session& session, std::string_view mailbox, const StatusItems& items, const MailboxStatus& status) {
  auto& out = session.out();
  out += "* STATUS ";
  session.append_mailbox(mailbox);
  out += " (";
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ' ';
    out += items[i]->name;
    out += ' ';
    items[i]->append(status, session, out);
  }
  out += ")\r\n";
}

bool send_status(Session& session, std::string_view mailbox, const StatusItems& items) {
  Place place;
  if (resolve(session, mailbox, "r", place)) return false;
  auto status = place.account->status(place.name);
  if (!status) return false;
  append_status(session, mailbox, items, *status);
  return true;
}

Completion status(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(items, take_status_items(arguments));
  IMAPD_CHECK(arguments.end());
  Place place;
  if (auto refused = resolve(session, name, "r", place)) return std::move(*refused);
  auto found = place.account->status_ready(place.name);
  if (!found) {
    if (!session.may_block()) return on_worker();
    auto status = place.account->status(place.name);
    if (!status) return failed(status.error(), "No such mailbox");
    found = std::move(*status);
  }
  if (std::ranges::any_of(items, [](const StatusItem* item) { return item->enables_condstore; }))
    session.use_condstore();
  append_status(session, name, items, *found);
  return ok("STATUS completed");
}

}  // namespace mail::imapd
