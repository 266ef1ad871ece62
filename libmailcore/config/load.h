// Reads the configuration: one TOML file, and overlays whose keys win. All mistakes are found in one go.
//
//   auto settings = config::load({"/etc/relais/relais.toml"});
//   if (!settings) { for (auto& problem : settings.error()) ...to_string(problem)...; return EX_CONFIG; }
//
// How a key is added: a member in settings.h with its default, one row in schema_*.cpp, one line in man/relais.toml.5
// (a test compares).
#pragma once
#include <functional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "config/settings.h"

namespace mail::config {

inline constexpr std::string_view kDefaultPath = "/etc/relais/relais.toml";

struct Problem {
  std::string file;
  int line = 0;  ///< 0: the file as a whole.
  std::string message;
};
std::string to_string(const Problem& problem);  ///< "FILE:LINE: message"

/// Reads `paths` in order; of a key that is in several files the last one counts (lists and tables are replaced, not
/// joined; free tables such as [relay.routes] are joined key by key). An unknown key, a wrong type or value is a
/// Problem. A file may name more files, which are laid over it: `include = ["more.toml"]`.
tl::expected<Settings, std::vector<Problem>> load(const std::vector<std::string>& paths);
/// The same from text, for tests and tools: `name` stands in for the file's name.
tl::expected<Settings, std::vector<Problem>> load_text(std::string_view toml, const std::string& name = "relais.toml");

/// What a program checks beyond the configuration itself, with settings that are right as far as they go: "FILE:LINE:
/// what" for each mistake in the files that they name.
using FurtherCheck = std::function<std::vector<std::string>(const Settings&)>;
/// All that is wrong, "FILE:LINE: what": beside what load() finds also files and accounts that are named and are not
/// there, which load() leaves to the program that needs them. `further` is asked when all that is right.
std::vector<std::string> mistakes(const std::vector<std::string>& paths, const std::vector<FurtherCheck>& further);
/// What `--check` does: prints each of these mistakes on standard error, or "FILE: ok"; the exit code, 0 or 78
/// (EX_CONFIG).
int check(const std::vector<std::string>& paths, const std::vector<FurtherCheck>& further);

/// What each program does at its start: loads, or prints the problems on standard error and gives nothing (exit with
/// 78, EX_CONFIG). Without any path: kDefaultPath where that exists, else the defaults alone.
std::optional<Settings> load_or_complain(std::string_view program, std::vector<std::string> paths);

/// Every key with its default and its one-line description, as a commented TOML file.
std::string sample();

/// The rows of the schema, for the manual's test.
struct KeyDescription {
  std::string name;           ///< "smtp.message_octets"
  std::string kind;           ///< "size", "duration", "list of endpoints", ...
  std::string default_value;  ///< As it would be written in the file.
  std::string description;
};
std::vector<KeyDescription> all_keys();

}  // namespace mail::config
