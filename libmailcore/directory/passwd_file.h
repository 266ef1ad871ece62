// users(5): Dovecot's passwd-file format, `name:password:uid:gid:gecos:home:shell:extra fields`.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "directory/directory.h"

namespace mail::directory {

struct PasswdEntry {
  User user;             ///< `mail` is still as the file has it, unexpanded; empty: the default.
  std::string password;  ///< With its {SCHEME}.
};
struct PasswdProblem {
  int line = 0;
  std::string text;
};
struct PasswdTable {
  std::unordered_map<std::string, PasswdEntry> by_name;  ///< Names in lower case.
  bool all_plain = true;                                 ///< Every password is stored in clear…
  bool all_scram_sha1 = true, all_scram_sha256 = true;   ///< …or so that this mechanism can work.
  std::vector<PasswdProblem> doubts;                     ///< Lines that count, though hardly as they are meant.
  std::string usual_password;  ///< One of the most common scheme: what a wrong name is checked against.
};

/// Lines that cannot be understood are told in `problems` and left out: such a file is not to be used.
PasswdTable parse_passwd_file(std::string_view file, std::vector<PasswdProblem>& problems);

/// `*:storage=1G:messages=1000`, `*:bytes=100M`: Dovecot's quota_rule; storage without a unit is in kilobytes.
/// @return false where it is not of the form. Rules for single mailboxes are accepted and ignored.
bool parse_quota_rule(std::string_view rule, User& user);

/// A user name that may become part of a path: no '/', no control characters, not "." or "..", at most 255 octets.
bool is_sane_name(std::string_view name);

/// %u (name), %n (local part), %d (domain, or `default_domain`), %h (home), %% in `pattern`; a leading ~/ is the home;
/// "maildir:" and "mbox:" say the format.
/// @return permanent where %h is used by a user without a home, or a part of the name cannot be in a path.
Status set_mail_location(User& user, std::string_view pattern, std::string_view default_domain);

}  // namespace mail::directory
