// What is noted of the server as a whole: METADATA entries below /shared of the mailbox "" (RFC 5464 section 3.3), the
// same for all users. One file for all accounts, of the format of `relais-mailbox`.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "store/shared_file.h"

namespace mail::store {

using Notes = std::map<std::string, std::string>;

/// Thread-safe.
class ServerNotes {
 public:
  /// @param path  absolute; empty: nothing is kept
  explicit ServerNotes(std::string path, Disk& disk = Disk::system()) : file_(std::move(path), disk) {}
  /// [one stat; disk where the file changed]
  Result<Notes> all();
  /// [disk] Lets `change` alter what is there, under the file's lock; what it returns false for stays as it was.
  /// refused where nothing is kept.
  Status change(const std::function<bool(Notes&)>& change);
  /// `told` is called for each entry that was changed through this object, until the token goes. From any thread.
  using Listener = std::function<void(const std::string& entry)>;
  [[nodiscard]] std::shared_ptr<void> on_change(Listener told);

 private:
  std::mutex mutex_;
  SharedFile file_;
  Notes notes_;  // what was read of it last
  std::vector<std::weak_ptr<Listener>> listeners_;
};

}  // namespace mail::store
