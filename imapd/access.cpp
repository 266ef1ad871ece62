#include "imapd/access.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "imapd/session.h"

namespace mail::imapd {

namespace {

/// Stands for a separator in a user's name.
constexpr char kStandIn = '^';

char separator_of(const Environment& environment) { return environment.store->settings().separator; }

std::string replaced(std::string_view text, char from, char to) {
  std::string out(text);
  std::ranges::replace(out, from, to);
  return out;
}

/// The account of another user; its directory entry may have to be asked of a program or a server.
Result<Place> open_foreign(Session& session, const ForeignName& name) {
  const auto& environment = session.environment();
  MAIL_TRY(user, environment.directory->find_user(name.owner));
  if (!user || user->mbox) return fail(Error::Kind::not_found, "no such user");
  Place place{.account = {}, .name = name.mailbox, .owner = user->name, .rights = {}};
  if (iequals(user->name, session.user())) {
    place.owner.clear();
    place.account = session.shared_account();
    return place;
  }
  const auto location = location_of(*user, environment.settings);
  // A look at others' mailboxes makes none: Maildirs come into being by deliveries, log-ins and administrators.
  if (!is_administrator(session) && !environment.store->open_account(location) &&
      ::access(location.maildir.c_str(), F_OK) != 0)
    return fail(Error::Kind::not_found, "no such mailbox");
  MAIL_TRY(account, environment.store->account(location));
  place.account = std::move(account);
  return place;
}

}  // namespace

Status find_rights(Session& session, Place& place) {
  MAIL_TRY(acl, place.account->acl(place.name));
  if (acl.empty() && !place.foreign()) {
    place.rights = std::string(store::kAllRights);
    return {};
  }
  const auto groups = session.groups();
  place.rights = store::rights_of(acl, {session.user(), !place.foreign(), groups});
  if (is_administrator(session)) place.rights = store::with_rights(place.rights, "la");
  return {};
}

std::optional<ForeignName> foreign_name(const Environment& environment, std::string_view name) {
  const auto& prefix = environment.settings.imap.other_users;
  const char separator = separator_of(environment);
  if (prefix.empty() || !name.starts_with(prefix) || name.size() < prefix.size() + 2 ||
      name[prefix.size()] != separator)
    return std::nullopt;
  const auto [owner, mailbox] = split_once(name.substr(prefix.size() + 1), separator);
  if (owner.empty()) return std::nullopt;
  return ForeignName{replaced(owner, kStandIn, separator),
                     mailbox.empty() ? std::string("INBOX") : std::string(mailbox)};
}

std::string name_for_others(const Environment& environment, std::string_view owner, std::string_view mailbox) {
  const char separator = separator_of(environment);
  auto name = concat(
      {environment.settings.imap.other_users, std::string_view(&separator, 1), replaced(owner, separator, kStandIn)});
  if (mailbox != "INBOX") name += concat({std::string_view(&separator, 1), mailbox});
  return name;
}

std::optional<Result<Place>> find_place(Session& session, std::string_view name) {
  Place place{.account = session.shared_account(), .name = std::string(name), .owner = {}, .rights = {}};
  if (const auto foreign = foreign_name(session.environment(), name)) {
    if (!session.may_block()) return std::nullopt;
    auto opened = open_foreign(session, *foreign);
    if (!opened) return opened;
    place = std::move(*opened);
  }
  if (auto found = find_rights(session, place); !found) return tl::unexpected(std::move(found).error());
  return place;
}

std::optional<Completion> resolve(Session& session, std::string_view name, std::string_view rights, Place& place) {
  auto found = find_place(session, name);
  if (!found) return on_worker();
  if (!*found) {
    const auto& error = found->error();
    const bool is_name = error.kind != Error::Kind::refused || error.system != 0;
    return failed(error, is_name ? "No such mailbox" : "Mailbox name is not valid");
  }
  place = std::move(**found);
  if (std::ranges::all_of(rights, [&](char right) { return store::has_right(place.rights, right); }))
    return std::nullopt;
  if (!store::has_right(place.rights, 'l')) return no("[NONEXISTENT] No such mailbox");
  return no_right();
}

namespace {
/// The nearest parent that exists. Without one: nothing at the user's own level; with others, a mailbox hangs below
/// their INBOX.
std::optional<Place> parent_of(Session& session, const Place& place) {
  const char separator = separator_of(session.environment());
  Place parent{.account = place.account, .name = "INBOX", .owner = place.owner, .rights = {}};
  for (auto at = place.name.rfind(separator); at != std::string::npos && at > 0;
       at = place.name.rfind(separator, at - 1)) {
    auto name = place.name.substr(0, at);
    if (!place.account->find(name)) continue;
    parent.name = std::move(name);
    return parent;
  }
  if (!place.foreign()) return std::nullopt;
  return parent;
}
}  // namespace

std::optional<Completion> may_create(Session& session, const Place& place) {
  auto parent = parent_of(session, place);
  if (!parent) return std::nullopt;
  if (auto found = find_rights(session, *parent); !found) return failed(found.error(), "Rights are not known");
  if (store::has_right(parent->rights, 'k')) return std::nullopt;
  if (!store::has_right(parent->rights, 'l')) return no("[NONEXISTENT] No such mailbox");
  return no_right();
}

Status inherit_rights(Session& session, const Place& place) {
  const auto parent = parent_of(session, place);
  if (!parent) return {};
  MAIL_TRY(acl, place.account->acl(parent->name));
  for (const auto& [identifier, rights] : acl) MAIL_CHECK(place.account->set_acl(place.name, identifier, rights));
  return {};
}

bool is_administrator(const Session& session) {
  return std::ranges::any_of(session.environment().settings.imap.administrators,
                             [&](const std::string& name) { return iequals(name, session.user()); });
}

Completion no_right() { return no("[NOPERM] Permission denied"); }

store::Flags changeable(std::string_view rights) {
  using store::Flags;
  auto flags = Flags::none;
  if (store::has_right(rights, 's')) flags = flags | Flags::seen;
  if (store::has_right(rights, 't')) flags = flags | Flags::deleted;
  if (store::has_right(rights, 'w')) flags = flags | ~(Flags::seen | Flags::deleted);
  return flags;
}

std::vector<store::MailboxEntry> foreign_mailboxes(Session& session) {
  const auto& environment = session.environment();
  const auto& prefix = environment.settings.imap.other_users;
  const char separator = separator_of(environment);
  std::map<std::string, store::MailboxEntry> entries;
  if (prefix.empty()) return {};
  for (const auto& owner : environment.shared->owners_for(session.user())) {
    const auto root = open_foreign(session, {owner, "INBOX"});
    if (!root || !root->foreign()) continue;
    const auto names = root->account->list();
    if (!names) continue;
    for (const auto& entry : *names) {
      Place place{.account = root->account, .name = entry.name, .owner = root->owner, .rights = {}};
      if (!entry.exists || !find_rights(session, place) || !store::has_right(place.rights, 'l')) continue;
      store::MailboxEntry told;
      told.name = name_for_others(environment, root->owner, entry.name);
      told.marked = entry.marked;
      entries[told.name] = std::move(told);
    }
  }
  // Parents on the way, down to the word all of them begin with.
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries) names.push_back(name);
  for (const auto& name : names)
    for (auto at = name.rfind(separator); at != std::string::npos && at > 0; at = name.rfind(separator, at - 1)) {
      auto& parent = entries[name.substr(0, at)];
      parent.has_children = true;
      if (parent.name.empty()) {
        parent.name = name.substr(0, at);
        parent.exists = false;
      }
    }
  std::vector<store::MailboxEntry> out;
  for (auto& [name, entry] : entries) out.push_back(std::move(entry));
  return out;
}

void update_shared_list(const Environment& environment, store::Account& account, std::string_view owner) {
  std::set<std::string> with;
  const auto names = account.list();
  if (!names) return;
  for (const auto& entry : *names) {
    if (!entry.exists) continue;
    const auto acl = account.acl(entry.name);
    if (!acl) continue;
    for (const auto& [identifier, rights] : *acl) {
      if (!store::has_right(rights, 'l') || identifier == "owner" || identifier.starts_with('-')) continue;
      // Members of groups are not known here: for them, as for all, the rights of each mailbox are looked at.
      with.insert(identifier.starts_with("user=") ? identifier.substr(5) : std::string());
    }
  }
  with.erase(std::string(owner));
  if (const auto done = environment.shared->set(owner, with); !done)
    log_event(LogLevel::warning, "shared_list_not_written",
              {{"file", environment.settings.imap.shared_list}, {"error", done.error().text}});
}

}  // namespace mail::imapd
