// Whose mailboxes are shared with whom: what LIST of other users' mailboxes asks, since nobody can look through all
// accounts. A hint; the rights decide. One file for all accounts, in the format of Dovecot's `acl_shared_dict`
// (`file:` driver), so that both servers keep the same one: a line `shared/shared-boxes/user/TO/FROM`, or
// `shared/shared-boxes/anyone/FROM`, and a line `1` after each.
#pragma once
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "store/shared_file.h"

namespace mail::store {

/// One for all users, or with one user.
struct Sharing {
  std::string owner;
  std::string with;  ///< Empty: with anyone.
  auto operator<=>(const Sharing&) const = default;
};
/// Lines that are none of these are passed over.
std::set<Sharing> parse_shared_list(std::string_view text);
std::string format_shared_list(const std::set<Sharing>& all);

/// Thread-safe.
class SharedList {
 public:
  /// @param path  absolute; empty: nothing is kept
  explicit SharedList(std::string path, Disk& disk = Disk::system()) : file_(std::move(path), disk) {}
  /// [one stat; disk where the file changed] Owners of mailboxes that are shared with the user or with anyone, sorted,
  /// without the user.
  std::vector<std::string> owners_for(std::string_view user);
  /// [disk] What the owner's mailboxes are shared with, all of it.
  Status set(std::string_view owner, const std::set<std::string>& with);

 private:
  std::mutex mutex_;
  SharedFile file_;
  std::set<Sharing> all_;  // what was read of it last
};

}  // namespace mail::store
