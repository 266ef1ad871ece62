#include "net/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/log.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace mail::net {

int exit_code(const Error& error) {
  switch (error.kind) {
    case Error::Kind::refused:
      return kExitNoPermission;
    case Error::Kind::temporary:
      return kExitCannotCreate;
    default:
      return kExitConfig;
  }
}

namespace {

Result<gid_t> group_id(const std::string& name) {
  const auto* found = getgrnam(name.c_str());
  if (found == nullptr) return fail(Error::Kind::permanent, concat({"run.group: no group \"", printable(name), "\""}));
  return found->gr_gid;
}

}  // namespace

Status drop_privileges(const config::Run& settings) {
  if (geteuid() != 0) {
    if (getuid() == 0) return fail(Error::Kind::refused, "started with root's real id: not going on");
    return {};
  }
  const std::string user = settings.user.empty() ? "relais" : settings.user;
  const auto* found = getpwnam(user.c_str());
  if (found == nullptr)
    return fail(Error::Kind::permanent, concat({"started as root, and the user \"", printable(user),
                                                "\" to become does not exist: create it (adduser --system --group ",
                                                printable(user), ") or name another one in run.user"}));
  const uid_t uid = found->pw_uid;
  gid_t gid = found->pw_gid;
  if (!settings.group.empty()) {
    MAIL_TRY(named, group_id(settings.group));
    gid = named;
  }
  if (uid == 0) return fail(Error::Kind::permanent, "run.user must not be root: no program does its work as root");
  // The user's further groups are kept (a certificate may be readable to ssl-cert), but never root's.
  if (initgroups(user.c_str(), gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
    return fail_errno("become user", user);
  if (geteuid() != uid || getegid() != gid || setuid(0) == 0 || setgid(0) == 0 || seteuid(0) == 0)
    return fail(Error::Kind::refused, concat({"could not give up root for ", user, " for good: not going on"}));
  return {};
}

std::uint64_t set_process_limits(std::uint64_t descriptors) {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  if (files.rlim_cur >= descriptors) return files.rlim_cur;
  rlimit wanted{descriptors, std::max<rlim_t>(files.rlim_max, descriptors)};
  if (setrlimit(RLIMIT_NOFILE, &wanted) != 0) {
    wanted = {std::min<rlim_t>(descriptors, files.rlim_max), files.rlim_max};
    setrlimit(RLIMIT_NOFILE, &wanted);
  }
  getrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur;
}

Status open_log(std::string_view program, const config::Log& settings, bool under_inetd) {
  LogTarget target;
  if (settings.target == "syslog" || (under_inetd && settings.target == "stderr"))
    target.kind = LogTarget::Kind::syslog;
  else if (settings.target == "journal")
    target.kind = LogTarget::Kind::journal;
  else if (settings.target == "none")
    target.kind = LogTarget::Kind::none;
  else if (settings.target.starts_with("file:"))
    target = {LogTarget::Kind::file, settings.target.substr(5)};
  const auto level = settings.level == "debug"     ? LogLevel::debug
                     : settings.level == "warning" ? LogLevel::warning
                     : settings.level == "error"   ? LogLevel::error
                                                   : LogLevel::info;
  return log_open(program, std::move(target), level);
}

void notify_systemd(std::string_view state) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t octets = std::strlen(path);
  if (octets >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, octets);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + octets);
  [[maybe_unused]] const auto sent =
      sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), length);
}

void notify_ready() { notify_systemd("READY=1"); }
void notify_stopping() { notify_systemd("STOPPING=1"); }
void notify_reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  notify_systemd("RELOADING=1\nMONOTONIC_USEC=" + decimal(now.tv_sec * 1'000'000 + now.tv_nsec / 1000));
}

void prepare_process() {
  std::signal(SIGPIPE, SIG_IGN);
  umask(077);
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0) [[maybe_unused]]
      const int opened = open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

}  // namespace mail::net
