#include "directory/from_settings.h"

#include <algorithm>

#include "base/strings.h"
#include "directory/login.h"

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
