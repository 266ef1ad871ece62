// What the configuration means for routes: the same for serve, relay and mda.
#pragma once
#include "config/settings.h"
#include "route/router.h"

namespace mail::route {

/// @param addresses  this host's own addresses as text: user@[address] is local.
/// All maps are read; one that cannot be is told in the log, and look-ups in it fail for the time being.
Options options_from(const config::Settings& settings, std::vector<std::string> addresses = {},
                     const Clock& clock = Clock::system());
/// For --check: all that is wrong with the maps that the settings name, "FILE:LINE: what was meant".
std::vector<std::string> map_problems(const config::Settings& settings);

}  // namespace mail::route
