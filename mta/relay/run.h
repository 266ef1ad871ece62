// `mta relay`: the process that takes mail out of the spool and talks to other hosts.
#pragma once
#include "config/settings.h"

namespace mail::relay {

/// Relays until SIGTERM; the exit code.
int run(config::Settings settings);

}  // namespace mail::relay
