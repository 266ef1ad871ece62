// The sources of users beside the users file. Both block.
#pragma once
#include <optional>
#include <string_view>

#include "base/result.h"
#include "directory/directory.h"

namespace mail::directory {

struct SystemAccount {
  User user;
  std::string password;  ///< From shadow where this process may read it; empty: none to check.
};
/// getpwnam(3) and getspnam(3). Accounts below `least_uid` (other than 0 never) have no mailbox.
Result<std::optional<SystemAccount>> system_account(std::string_view name, uid_t least_uid);

/// Asks a checkpassword program (https://cr.yp.to/checkpwd/interface.html): name and password on descriptor 3; it then
/// runs env(1), whose environment tells the home. Without a password (a look-up for delivery) as Dovecot does:
/// AUTHORIZED=1 asks it to check nothing, and AUTHORIZED=2 says that it did so.
/// @return nothing where the program refuses.
Result<std::optional<User>> ask_checkpassword(const Options& options, std::string_view name,
                                              std::optional<std::string_view> password);

}  // namespace mail::directory
