#include "directory/sources.h"

#include <pwd.h>
#include <shadow.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <vector>

#include "base/process.h"
#include "base/strings.h"
#include "directory/passwd_file.h"

namespace mail::directory {
namespace {

constexpr std::size_t kNameServiceOctets = 16384;  // one entry of passwd(5) or shadow(5)

/// The stored password of an account that may be used now, else empty.
std::string shadow_password(const std::string& name, const char* fallback) {
  std::vector<char> buffer(kNameServiceOctets);
  spwd entry{};
  spwd* found = nullptr;
  if (getspnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return fallback != nullptr && std::string_view(fallback) != "x" ? fallback : "";
  std::string password = entry.sp_expire >= 0 && entry.sp_expire < std::time(nullptr) / 86400 ? "" : entry.sp_pwdp;
  explicit_bzero(buffer.data(), buffer.size());
  return password;
}

constexpr int kUnacceptable = 1;  // the interface's exit codes
constexpr int kDovecotUnknown = 3;

}  // namespace

Result<std::optional<SystemAccount>> system_account(std::string_view name, uid_t least_uid) {
  if (!is_sane_name(name) || name.size() > 32 || name.find('@') != std::string_view::npos)
    return std::optional<SystemAccount>();
  const std::string text(name);
  std::vector<char> buffer(kNameServiceOctets);
  passwd entry{};
  passwd* found = nullptr;
  const int number = getpwnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    // These numbers mean "no such user" to some name services.
    if (number == 0 || number == ENOENT || number == ESRCH || number == EPERM) return std::optional<SystemAccount>();
    return fail(Error::Kind::temporary, concat({"getpwnam ", printable(name), ": failed"}));
  }
  if (entry.pw_uid < least_uid || entry.pw_uid == 0) return std::optional<SystemAccount>();
  SystemAccount account;
  account.user.name = entry.pw_name;
  account.user.full_name = std::string(split_once(entry.pw_gecos != nullptr ? entry.pw_gecos : "", ',').first);
  account.user.home = entry.pw_dir;
  account.user.uid = entry.pw_uid;
  account.user.gid = entry.pw_gid;
  account.password = shadow_password(text, entry.pw_passwd);
  return std::optional(std::move(account));
}

Result<std::optional<User>> ask_checkpassword(const Options& options, std::string_view name,
                                              std::optional<std::string_view> password) {
  static constexpr std::string_view kNul("\0", 1);
  const auto has_nul = [](std::string_view text) { return text.find('\0') != std::string_view::npos; };
  if (!is_sane_name(name) || (password && (has_nul(*password) || password->empty()))) return std::optional<User>();
  sasl::Secret input(concat({name, kNul, password.value_or(""), kNul, "0", kNul}));
  Command command{.argv = options.checkpassword,
                  .environment = {"PATH=/usr/local/bin:/usr/bin:/bin"},
                  .input = input.text(),
                  .input_fd = 3,
                  .time = options.program_time};
  if (!password) command.environment.emplace_back("AUTHORIZED=1");
  command.argv.insert(command.argv.end(), {"/usr/bin/env", "-0"});
  MAIL_TRY(finished, run(command));
  if (finished.exit_code == kUnacceptable || finished.exit_code == kDovecotUnknown) return std::optional<User>();
  if (finished.exit_code != 0)
    return fail(Error::Kind::temporary,
                concat({"checkpassword ", options.checkpassword[0], finished.timed_out ? ": too slow" : ": exit code ",
                        finished.timed_out ? "" : decimal(finished.exit_code)}));
  User user;
  user.name = name;
  bool authorized = false;
  for (const auto line : split(finished.output, '\0')) {
    const auto [key, value] = split_once(line, '=');
    if (key == "HOME") user.home = value;
    if (key == "USER" && is_sane_name(value)) user.name = value;
    if (key == "AUTHORIZED") authorized = value == "2";
    if (key == "userdb_mail") user.mail = value;
    if (key == "userdb_quota_rule") parse_quota_rule(value, user);
    if (key == "userdb_uid") finished.uid = parse_decimal<uid_t>(value);
    if (key == "userdb_gid") finished.gid = parse_decimal<gid_t>(value);
  }
  // A program that does not know AUTHORIZED has checked the empty password: its yes means nothing here.
  if (!password && !authorized) return std::optional<User>();
  if (finished.uid && *finished.uid != geteuid()) user.uid = finished.uid, user.gid = finished.gid;
  return std::optional(std::move(user));
}

}  // namespace mail::directory
