// `mda --daemon` (spool/local and LMTP sockets), `mda --lmtp` (one session or a socket), `mda --once`.
#pragma once
#include <string>
#include <vector>

#include "config/settings.h"

namespace mail::mda {

struct DaemonOptions {
  std::vector<std::string> config_paths;
  bool spool = true;              ///< Works on spool/local too.
  bool inetd = false;             ///< One LMTP session on descriptor 0.
  std::vector<std::string> lmtp;  ///< Endpoints in place of lmtp.listen.
};
/// The exit code.
int run_daemon(const config::Settings& settings, const DaemonOptions& options);
/// Delivers what is due in spool/local and returns: 0, or 75 where something is left.
int run_once(const config::Settings& settings);

}  // namespace mail::mda
