// `mta serve`: the process that talks SMTP to the network.
#pragma once
#include <string>

#include "config/settings.h"

namespace mail::mta {

struct ServeOptions {
  bool inetd = false;            ///< One connection on descriptor 0.
  std::string service = "smtp";  ///< Under inetd: smtp, submission, submissions.
};
/// Serves until SIGTERM; the exit code.
int serve(config::Settings settings, const ServeOptions& options);

}  // namespace mail::mta
