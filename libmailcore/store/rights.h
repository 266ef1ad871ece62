// Rights on mailboxes (RFC 4314): what a list of identifiers and rights, as `dovecot-acl` has it, means for a user.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "store/account.h"

namespace mail::store {

using Acl = std::map<std::string, Rights>;

/// The standard rights of section 2.1, in the order in which they are told.
inline constexpr std::string_view kAllRights = "lrswipkxtea";
/// What an owner always keeps: nobody can lock himself out.
inline constexpr std::string_view kOwnerRights = "la";

struct Accessor {
  std::string_view user;                     ///< Canonical name.
  bool owner = false;                        ///< Of the account.
  std::span<const std::string> groups = {};  ///< For `group=NAME`.
};

/// The rights of a user. As in Dovecot, whose file it is, the most specific identifier counts, in this order:
/// `group-override=`, `user=`, `owner`, `group=`, `authenticated`, `anyone`; then the rights of all negative
/// identifiers that fit (`-user=ann`) are taken away. An owner of whom the list says nothing has all rights.
Rights rights_of(const Acl& acl, const Accessor& accessor);

/// Rights as a client writes them: each once, in the order of kAllRights, `c` as `kx` and `d` as `et` (section 2.1.1).
/// Nothing for a letter that is no right.
std::optional<Rights> parse_rights(std::string_view text);
/// As they are told, `c` and `d` where a member of them is there.
std::string told_rights(std::string_view rights);
/// `a` and not `b`, or both: in the order of kAllRights.
Rights without_rights(std::string_view rights, std::string_view less);
Rights with_rights(std::string_view rights, std::string_view more);
inline bool has_right(std::string_view rights, char right) { return rights.find(right) != std::string_view::npos; }

/// An identifier of the protocol as the file has it: `bob` is `user=bob`, `$staff` is `group=staff`, `!$staff` is
/// `group-override=staff`; `anyone`, `authenticated` and `owner` are themselves; `-` may stand in front of each.
/// Nothing where it is empty or cannot stand in the file.
std::optional<std::string> identifier_of(std::string_view text);
/// The other way.
std::string told_identifier(std::string_view identifier);

}  // namespace mail::store
