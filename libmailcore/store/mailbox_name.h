// Mailbox names and the folders they live in: Maildir++ (`.Sent.2024` beside cur, new, tmp). No name leads outside the
// account.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mail::store {

struct NameRules {
  char separator = '.';
  bool utf8_on_disk = false;
};

inline constexpr std::size_t kNameOctetsMost =
    200;  ///< On disk, so that a folder name stays below NAME_MAX with room for temporary names.

/// The name as the store keeps it: "inbox" in any case is INBOX, also in front of a separator. refused with the reason
/// for what cannot be a mailbox: empty, over-long, invalid UTF-8, control characters, empty parts, "." and "..", '/'
/// unless it is the separator, '.' unless it is.
Result<std::string> normal_name(std::string_view name, const NameRules& rules);
/// The folder's directory name below the Maildir: ".Sent.2024"; "" for INBOX. `name` is a normal name.
std::string folder_of(std::string_view name, const NameRules& rules);
/// The name of a folder found on disk, or nothing for what is none of ours (no leading dot, invalid encoding).
std::optional<std::string> name_of(std::string_view folder, const NameRules& rules);
/// For the order of LIST: INBOX first, then by octets with the separator lowest.
bool name_less(std::string_view a, std::string_view b, char separator);

}  // namespace mail::store
