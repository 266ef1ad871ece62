// ACL (RFC 4314): SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS. The lists are Dovecot's `dovecot-acl` files.
#include "imapd/commands/acl.h"

#include <array>

#include "base/strings.h"
#include "imap/response.h"
#include "imapd/access.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"
#include "sasl/password.h"

namespace mail::imapd {
namespace {

/// As the file has it. Names of users in their canonical form; names that nobody has are kept as they are given: the
/// answer must not tell who has a mailbox here.
Result<std::string> take_identifier(Session& session, imap::Arguments& arguments) {
  MAIL_TRY(text, arguments.astring());
  const auto prepared = sasl::saslprep(text);
  auto identifier = prepared ? store::identifier_of(*prepared) : std::nullopt;
  if (!identifier) return fail(Error::Kind::syntax, "Invalid identifier");
  const auto at = identifier->find("user=");
  if (at == std::string::npos || at > 1) return std::move(*identifier);
  const auto name = identifier->substr(at + 5);
  const auto user = session.environment().directory->find_user(name);
  return identifier->substr(0, at + 5) + (user && *user ? (*user)->name : to_lower(name));
}

/// Of an own mailbox the list is about `owner`, not about the user's name.
std::string owner_of(const Session& session, const Place& place) {
  return place.foreign() ? place.owner : session.user();
}

/// The mailbox with the right `a`; it must be there.
std::optional<Completion> administered(Session& session, std::string_view name, Place& place) {
  if (auto refused = resolve(session, name, "a", place)) return refused;
  if (auto found = place.account->find(place.name); !found) return failed(found.error(), "No such mailbox");
  return std::nullopt;
}

void append_pair(Session& session, std::string_view first, std::string_view second) {
  imap::append_astring(session.out(), first);
  session.out() += ' ';
  imap::append_astring(session.out(), second);
}

Completion change(Session& session, const Place& place, const std::string& identifier,
                  std::optional<store::Rights> rights, std::string_view done) {
  if (auto changed = place.account->set_acl(place.name, identifier, std::move(rights)); !changed)
    return failed(changed.error(), "Rights not changed");
  update_shared_list(session.environment(), *place.account, owner_of(session, place));
  return ok(std::string(done));
}

/// SETACL mailbox identifier [+-]rights
Completion set_acl(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(identifier, take_identifier(session, arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(text, arguments.astring());
  IMAPD_CHECK(arguments.end());
  const char how = text.starts_with('+') || text.starts_with('-') ? text[0] : '=';
  const auto given = store::parse_rights(std::string_view(text).substr(how == '=' ? 0 : 1));
  if (!given) return bad("Unknown right");
  Place place;
  if (auto refused = administered(session, name, place)) return std::move(*refused);
  auto rights = *given;
  if (how != '=') {
    const auto acl = place.account->acl(place.name);
    if (!acl) return failed(acl.error(), "Rights are not known");
    const auto now = acl->find(identifier);
    // The owner's rights are there before anybody writes them down.
    const bool about_owner = identifier == "owner" || identifier == "user=" + owner_of(session, place);
    const std::string before = now != acl->end() ? now->second : about_owner ? std::string(store::kAllRights) : "";
    rights = how == '+' ? store::with_rights(before, rights) : store::without_rights(before, rights);
  }
  return change(session, place, identifier, std::move(rights), "SETACL completed");
}

Completion delete_acl(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(identifier, take_identifier(session, arguments));
  IMAPD_CHECK(arguments.end());
  Place place;
  if (auto refused = administered(session, name, place)) return std::move(*refused);
  return change(session, place, identifier, std::nullopt, "DELETEACL completed");
}

Completion get_acl(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  Place place;
  if (auto refused = administered(session, name, place)) return std::move(*refused);
  const auto acl = place.account->acl(place.name);
  if (!acl) return failed(acl.error(), "Rights are not known");
  auto& out = session.out();
  out += "* ACL ";
  session.append_mailbox(name);
  const auto owner = owner_of(session, place);
  if (!acl->contains("owner") && !acl->contains("user=" + owner)) {
    out += ' ';
    append_pair(session, owner, store::told_rights(store::kAllRights));
  }
  for (const auto& [identifier, rights] : *acl) {
    out += ' ';
    append_pair(session, store::told_identifier(identifier), store::told_rights(rights));
  }
  out += "\r\n";
  return ok("GETACL completed");
}

Completion list_rights(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  const auto before = arguments.offset();
  IMAPD_TRY(told, arguments.astring());  // the answer has it as it was asked for
  arguments.rewind(before);
  IMAPD_TRY(identifier, take_identifier(session, arguments));
  IMAPD_CHECK(arguments.end());
  Place place;
  if (auto refused = administered(session, name, place)) return std::move(*refused);
  const bool about_owner = identifier == "owner" || identifier == "user=" + owner_of(session, place);
  const std::string_view always = about_owner ? store::kOwnerRights : std::string_view();
  auto& out = session.out();
  out += "* LISTRIGHTS ";
  session.append_mailbox(name);
  out += ' ';
  append_pair(session, told, always);
  for (const char right : store::without_rights(store::kAllRights, always)) (out += ' ') += right;
  out += " c d\r\n";
  return ok("LISTRIGHTS completed");
}

bool append_my_rights(Session& session, std::string_view name, const Place& place) {
  if (place.rights.find_first_of("lrikxa") == std::string::npos) return false;
  session.out() += "* MYRIGHTS ";
  session.append_mailbox(name);
  session.out() += ' ';
  imap::append_astring(session.out(), store::told_rights(place.rights));
  session.out() += "\r\n";
  return true;
}

Completion my_rights(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  Place place;
  if (auto refused = resolve(session, name, "", place)) return std::move(*refused);
  const auto found = place.account->find(place.name);
  if (!found || !append_my_rights(session, name, place)) return no("[NONEXISTENT] No such mailbox");
  return ok("MYRIGHTS completed");
}

constexpr std::array kAclCommands{
    Command{.name = "SETACL", .run = set_acl, .capability = "ACL", .disk = true},
    Command{.name = "DELETEACL", .run = delete_acl, .capability = "RIGHTS=kxte", .disk = true},
    Command{.name = "GETACL", .run = get_acl, .disk = true},
    Command{.name = "LISTRIGHTS", .run = list_rights, .disk = true},
    Command{.name = "MYRIGHTS", .run = my_rights, .disk = true},
};

}  // namespace

void send_my_rights(Session& session, std::string_view mailbox) {
  Place place;
  if (!resolve(session, mailbox, "", place)) append_my_rights(session, mailbox, place);
}

std::span<const Command> acl_commands() { return kAclCommands; }

}  // namespace mail::imapd
