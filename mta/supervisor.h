// `mta` alone: runs serve and relay as two children that share nothing but the spool, and starts again the one that
// dies.
#pragma once
#include <string>
#include <vector>

namespace mail::mta {

/// Starts this very program once per entry of `children` (its arguments) and stays until SIGTERM; SIGHUP is passed on.
/// A child that cannot start at all (sysexits 64 to 78 before it was ever ready) ends everything with its exit code;
/// one that dies later is started again after a second.
int supervise(const std::vector<std::vector<std::string>>& children);

}  // namespace mail::mta
