// What every daemon does at its start and end, in small pieces; service.h puts them together.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/settings.h"

namespace mail::net {

/// sysexits.h, as the programs use them.
enum Exit : int {
  kExitOk = 0,
  kExitUsage = 64,
  kExitData = 65,
  kExitNoUser = 67,
  kExitUnavailable = 69,
  kExitSoftware = 70,
  kExitCannotCreate = 73,
  kExitTemporary = 75,
  kExitNoPermission = 77,
  kExitConfig = 78,
};
/// The exit code for an error at the start: refused 77, temporary 73 (a port in use, a directory that cannot be made),
/// else 78.
int exit_code(const Error& error);

/// As root: gives up all groups and ids for settings.user (default "relais") and verifies that there is no way back;
/// refuses when that user does not exist or is root. As an ordinary user: does nothing.
Status drop_privileges(const config::Run& settings);
/// RLIMIT_NOFILE raised towards `descriptors` (as far as the hard limit goes) and RLIMIT_CORE 0 (cores hold mail); what
/// the former now is.
std::uint64_t set_process_limits(std::uint64_t descriptors);
/// Opens the log as settings say; `program` is the first field. Under inetd, where descriptor 2 is the client, stderr
/// becomes syslog.
Status open_log(std::string_view program, const config::Log& settings, bool under_inetd = false);

/// "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=…", "STATUS=…" to $NOTIFY_SOCKET; nothing without one.
void notify_systemd(std::string_view state);
void notify_ready();
void notify_reloading();
void notify_stopping();

/// SIGPIPE ignored, umask 077, descriptors 0 to 2 open (on /dev/null where they were not).
void prepare_process();

}  // namespace mail::net
