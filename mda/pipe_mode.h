// `mda -d USER < message`: one message, one user, an exit code of sysexits.h.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "config/settings.h"
#include "mda/outcome.h"

namespace mail::mda {

struct PipeOptions {
  std::string user;  ///< Empty: whoever runs this.
  std::optional<std::string> sender;
  std::string extension;
  std::string mailbox;
  std::string delivered_to;                    ///< Empty: the user's address.
  std::string id;                              ///< A repeated delivery with the same id does nothing.
  bool require_tls = false, smtputf8 = false;  ///< As it came: for what a .forward sends on.
  std::vector<std::string> config_paths;
  bool as_root = false;  ///< Tests.
};
/// Delivers `message`. As root it becomes the user (or run.user, where the user has no id of his own) before it touches
/// the mailbox.
Outcome deliver_one(const config::Settings& settings, const PipeOptions& options, std::string_view message);
/// The whole of descriptor 0; temporary where it cannot be read, permanent (5.3.4) where it is larger than `most`.
Result<std::string> read_message(int fd, std::uint64_t most);

}  // namespace mail::mda
