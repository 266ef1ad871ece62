// Whose mailbox a name means, and what the session's user may do with it (RFC 4314).
//
// Names. `NAME` is the user's own mailbox. Behind the word of `imap.other_users` come other users' mailboxes:
// `user.ann` is ann's INBOX, `user.ann.Sent` her Sent; a separator in a user's name is written as `^` (Cyrus does so
// too). A mailbox that the user has no right to look up does not exist, whoever it belongs to.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imapd/command.h"
#include "store/account.h"
#include "store/rights.h"

namespace mail::imapd {

class Session;
struct Environment;

struct Place {
  std::shared_ptr<store::Account> account;
  std::string name;   ///< As the account knows it.
  std::string owner;  ///< Canonical name; empty: the session's user.
  store::Rights rights;
  bool foreign() const { return !owner.empty(); }
};

/// A name taken apart: whose, and which of his mailboxes.
struct ForeignName {
  std::string owner, mailbox;
};
/// Nothing where it is no name of another user's mailbox.
std::optional<ForeignName> foreign_name(const Environment& environment, std::string_view name);
/// The name under which others see it.
std::string name_for_others(const Environment& environment, std::string_view owner, std::string_view mailbox);

/// What the name means and what the user's rights on it are; for names that do not exist, too. Nothing where the disk
/// may have to be waited for and that is not allowed now. not_found: there is no such user.
std::optional<Result<Place>> find_place(Session& session, std::string_view name);
/// As find_place, and refuses unless the user has all of `rights`. @return the answer where there is nothing to do any
/// more, or where a worker is wanted
std::optional<Completion> resolve(Session& session, std::string_view name, std::string_view rights, Place& place);
/// Fills place.rights anew. [as store::Account::acl]
Status find_rights(Session& session, Place& place);
/// The nearest existing parent of a name that is to be made has the right `k` for the user.
std::optional<Completion> may_create(Session& session, const Place& place);
/// A new mailbox gets the list of its parent (section 4). [disk]
Status inherit_rights(Session& session, const Place& place);
/// One of imap.administrators: sets quotas, and rights on everybody's mailboxes.
bool is_administrator(const Session& session);
/// NO with NOPERM.
Completion no_right();

/// Those of the flags that the rights allow to change: `s` \Seen, `t` \Deleted, `w` all others.
store::Flags changeable(std::string_view rights);

/// Mailboxes of others that the user may look up, as he names them. [disk]
std::vector<store::MailboxEntry> foreign_mailboxes(Session& session);

/// After a change of rights: tells the list of shared mailboxes what the account shares now. [disk]
void update_shared_list(const Environment& environment, store::Account& account, std::string_view owner);

}  // namespace mail::imapd
