// Other programs, started from argv lists: never by a shell.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mail {

struct Command {
  std::vector<std::string> argv;         ///< argv[0] is an absolute path.
  std::vector<std::string> environment;  ///< "NAME=value"; nothing else is passed on.
  std::string directory = "/";           ///< Working directory.
  std::string_view input;                ///< On descriptor `input_fd`; what the program does not read is no error.
  int input_fd = 0;
  std::optional<uid_t> uid;  ///< Dropped to, with `gid` and no other groups; needs root.
  std::optional<gid_t> gid;
  std::chrono::milliseconds time{60000};  ///< Then the program and its children are killed.
  std::size_t output_octets =
      65536;  ///< Kept of standard output and standard error together; the rest is read and dropped.
};
struct Finished {
  int exit_code = -1;  ///< -1: ended by `signal`.
  int signal = 0;
  bool timed_out = false;
  std::string output;
  std::optional<uid_t>
      uid;  ///< The program's ids at its end, where the system tells (a checkpassword program changes them).
  std::optional<gid_t> gid;
};
/// Splits `/program with "quoted words"` into argv as a shell would for blanks, quotes and backslashes, and nothing
/// else: no variables, no globs. @return syntax where it is not of this form, or the program's path not absolute.
Result<std::vector<std::string>> split_command(std::string_view command);

/// Runs it to its end; blocks. @return temporary where it could not be started at all (no processes, no memory),
/// not_found or refused where the file cannot be executed.
[[nodiscard]] Result<Finished> run(const Command& command);

}  // namespace mail
