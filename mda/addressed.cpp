#include "mda/addressed.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/strings.h"
#include "net/daemon.h"

namespace mail::mda {

std::string own_name() {
  const passwd* entry = getpwuid(geteuid());
  return entry != nullptr ? entry->pw_name : decimal(geteuid());
}

Status become(const directory::User& user, const config::Run& run) {
  if (geteuid() != 0) return {};
  if (!user.uid || *user.uid == 0) return net::drop_privileges(run);
  const auto gid = user.gid.value_or(static_cast<gid_t>(*user.uid));
  const auto at = user.name.find('@');
  if (initgroups(user.name.substr(0, at).c_str(), gid) != 0 && setgroups(1, &gid) != 0) return fail_errno("setgroups");
  if (setresgid(gid, gid, gid) != 0) return fail_errno("setgid", user.name);
  if (setresuid(*user.uid, *user.uid, *user.uid) != 0) return fail_errno("setuid", user.name);
  if (setuid(0) == 0) return fail(Error::Kind::refused, "root could be taken back: not delivering");
  return {};
}

Result<std::optional<Addressed>> find_addressed(Environment& environment, const std::string& name) {
  MAIL_TRY(user, environment.users->find_user(name));
  if (user) return std::optional(Addressed{std::move(*user), ""});
  MAIL_TRY(route, environment.router->route(name));
  if (route.refusal || route.targets.size() != 1) return std::optional<Addressed>();
  const auto* local = std::get_if<route::LocalMailbox>(&route.targets[0].destination);
  if (local == nullptr) return std::optional<Addressed>();
  MAIL_TRY(found, environment.users->find_user(local->user));
  if (!found) return std::optional<Addressed>();
  return std::optional(Addressed{std::move(*found), local->detail});
}

}  // namespace mail::mda
