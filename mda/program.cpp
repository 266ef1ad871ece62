#include "mda/program.h"

#include <unistd.h>

#include "base/strings.h"
#include "mda/message_text.h"

namespace mail::mda {
namespace {

/// What a program said, for the bounce: its last words, on one line.
std::string last_words(std::string_view output) {
  output = trim(output);
  if (output.size() > 200) output = output.substr(output.size() - 200);
  return printable(replace_all(output, "\n", " "));
}

}  // namespace

std::vector<std::string> program_environment(const directory::User* user, std::string_view reverse_path,
                                             std::string_view recipient, std::string_view detail) {
  const auto at = recipient.rfind('@');
  std::vector<std::string> out{
      "PATH=/usr/local/bin:/usr/bin:/bin",
      "SHELL=/bin/sh",
      "LANG=C.UTF-8",
      concat({"SENDER=", one_line(reverse_path)}),
      concat({"RECIPIENT=", one_line(recipient)}),
      concat({"EXTENSION=", one_line(detail)}),
      concat({"LOCAL=", one_line(recipient.substr(0, at))}),
      concat({"DOMAIN=", at == std::string_view::npos ? "" : one_line(recipient.substr(at + 1))})};
  if (user != nullptr) {
    out.push_back("USER=" + one_line(user->name));
    out.push_back("LOGNAME=" + one_line(user->name));
    out.push_back("HOME=" + (user->home.empty() ? "/" : user->home));
  }
  return out;
}

std::vector<std::string> with_values(const std::vector<std::string>& argv, const directory::User& user,
                                     std::string_view reverse_path, std::string_view recipient,
                                     std::string_view detail) {
  const auto at = user.name.rfind('@');
  std::vector<std::string> out;
  for (const auto& word : argv) {
    std::string value;
    for (std::size_t i = 0; i < word.size(); ++i) {
      if (word[i] != '%' || i + 1 == word.size()) {
        value += word[i];
        continue;
      }
      switch (word[++i]) {
        case 'u':
          value += user.name;
          break;
        case 'n':
          value += user.name.substr(0, at);
          break;
        case 'd':
          value += at == std::string::npos ? "" : user.name.substr(at + 1);
          break;
        case 'h':
          value += user.home;
          break;
        case 's':
          value += one_line(reverse_path);
          break;
        case 'r':
          value += one_line(recipient);
          break;
        case 'e':
          value += one_line(detail);
          break;
        default:
          value += word[i];
          break;
      }
    }
    out.push_back(std::move(value));
  }
  return out;
}

Outcome run_program(const ProgramCall& call, std::string_view message, std::chrono::seconds time) {
  if (geteuid() == 0 && !call.keep_root && (!call.uid || *call.uid == 0))
    return temporary("4.3.5", concat({call.argv[0], ": not run as root; set run.user"}));
  Command command{
      .argv = call.argv, .environment = call.environment, .directory = call.directory, .input = message, .time = time};
  if (geteuid() == 0 && !call.keep_root) command.uid = call.uid, command.gid = call.gid;
  const auto finished = run(command);
  if (!finished) return temporary("4.3.0", finished.error().text);
  const auto said = last_words(finished->output);
  const auto about = [&](std::string_view what) {
    return concat({call.argv[0], ": ", what, said.empty() ? "" : ": ", said});
  };
  if (finished->timed_out) return temporary("4.3.0", about("took too long"));
  switch (finished->exit_code) {
    case 0:
      return {};
    case -1:
      return temporary("4.3.0", about("ended by signal " + decimal(finished->signal)));
    case 67:
      return permanent("5.1.1", about("no such user"));
    case 75:
    case 71:  // EX_OSERR
    case 74:  // EX_IOERR
    case 111:
      return temporary("4.3.0", about("temporary failure"));
    case 73:
      return temporary("4.2.0", about("cannot create"));
    case 77:
      return permanent("5.7.1", about("permission denied"));
    default:
      return permanent("5.3.0", about("exit code " + decimal(finished->exit_code)));
  }
}

}  // namespace mail::mda
