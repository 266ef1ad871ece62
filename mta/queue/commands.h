// The command line of `mta queue`, `mta trace` and `mta explain`: queue(8).
#pragma once
#include <functional>
#include <optional>

#include "config/settings.h"

namespace CLI {
class App;
}

namespace mail::queue {

/// Adds the commands to `app`. The one that is given runs while `app` parses, and sets `code`.
/// @param settings  loads the configuration; nothing: it has complained
void add_commands(CLI::App& app, std::function<std::optional<config::Settings>()> settings, int& code);

}  // namespace mail::queue
