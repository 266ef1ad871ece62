#include "directory/from_settings.h"

#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "directory/aliases.h"
#include "directory/login.h"
#include "directory/passwd_file.h"
#include "directory/watched_file.h"

namespace mail::directory {

Options options_from(const config::Settings& settings) {
  Options options;
  options.passwd_file = settings.users.passwd_file;
  options.aliases_file = settings.users.aliases_file;
  options.system_users = settings.users.system_users;
  options.checkpassword = settings.users.checkpassword;
  options.domains = config::local_domains(settings);
  options.mail_root = settings.mail.root;
  options.positive_cache = settings.users.cache;
  options.negative_cache = settings.users.negative_cache;
  return options;
}

std::vector<std::string> file_problems(const config::Settings& settings) {
  std::vector<std::string> out;
  const auto tell = [&](const std::string& file, const auto& problems) {
    for (const auto& problem : problems) out.push_back(concat({file, ":", decimal(problem.line), ": ", problem.text}));
  };
  const auto read = [&](const std::string& path, auto&& parse) {
    if (path.empty()) return;
    // Read as a program does that runs: not a directory, not a FIFO.
    WatchedFile<int> file(path, [&](std::string_view text) -> Result<int> {
      parse(text);
      return 0;
    });
    if (const auto done = file.refresh(); !done && done.error().system != ENOENT) out.push_back(done.error().text);
  };
  read(settings.users.passwd_file, [&](std::string_view text) {
    std::vector<PasswdProblem> problems;
    const auto table = parse_passwd_file(text, problems);
    problems.insert(problems.end(), table.doubts.begin(), table.doubts.end());
    std::ranges::stable_sort(problems, {}, &PasswdProblem::line);
    tell(settings.users.passwd_file, problems);
  });
  read(settings.users.aliases_file, [&](std::string_view text) {
    std::vector<AliasProblem> problems;
    (void)AliasTable::parse(text, problems);
    tell(settings.users.aliases_file, problems);
  });
  return out;
}

Throttle::Options throttle_from(const config::Auth& settings) {
  Throttle::Options options;
  options.first_delay = settings.failure_delay;
  options.most_delay = std::max(settings.failure_delay, options.most_delay);
  options.address_failures = static_cast<int>(settings.lockout_failures);
  // Somebody else's guessing must not lock a user out soon: an account stands six times what an address does.
  options.account_failures = static_cast<int>(settings.lockout_failures * 6);
  options.lock_out = settings.lockout;
  options.forget_after = settings.lockout_window;
  return options;
}

sasl::ServerPolicy policy_from(const config::Settings& settings, bool plain_secrets) {
  sasl::ServerPolicy policy;
  policy.mechanisms.clear();
  for (const std::string& name : settings.auth.mechanisms) policy.mechanisms.push_back(to_upper(name));
  policy.allow_plaintext = settings.auth.allow_plaintext;
  policy.channel_binding = settings.auth.channel_binding;
  policy.host_name = config::host_name(settings);
  policy.keep_plain_secrets = plain_secrets;
  return policy;
}

sasl::ServerPolicy policy_from(const config::Settings& settings, const Directory& users) {
  return fitting_policy(policy_from(settings, users.has_plain_secrets()), users);
}

}  // namespace mail::directory
