// Programs that take a message on standard input: `|command` of aliases and .forward, mailbox_command, and mda itself
// as another user.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "directory/directory.h"
#include "mda/outcome.h"

namespace mail::mda {

struct ProgramCall {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::string directory = "/";
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  bool keep_root = false;     ///< Only for mda itself, which drops.
  bool message_only = false;  ///< Without our fields in front: the program adds its own.
};
/// USER, HOME, SENDER, RECIPIENT, EXTENSION, LOCAL, DOMAIN, as Postfix's local(8) gives them. No value holds a control
/// character.
std::vector<std::string> program_environment(const directory::User* user, std::string_view reverse_path,
                                             std::string_view recipient, std::string_view detail);
/// Replaces %u, %n, %d, %h, %s (sender), %r (recipient), %e (extension), %% in each word; a word stays one word.
std::vector<std::string> with_values(const std::vector<std::string>& argv, const directory::User& user,
                                     std::string_view reverse_path, std::string_view recipient,
                                     std::string_view detail);
/// Runs it. Its exit code in sysexits.h's sense: 0 delivered, 75 and signals temporary, 67 no such user, the others
/// permanent.
Outcome run_program(const ProgramCall& call, std::string_view message, std::chrono::seconds time);

}  // namespace mail::mda
