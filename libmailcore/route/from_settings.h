// What the configuration means for routes: the same for serve, relay and mda.
#pragma once
#include "config/settings.h"
#include "route/router.h"

namespace mail::route {

/// @param addresses  this host's own addresses as text: user@[address] is local.
Options options_from(const config::Settings& settings, std::vector<std::string> addresses = {});

}  // namespace mail::route
