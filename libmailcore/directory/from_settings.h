// What the configuration means for users, log-ins and mechanisms: the same for every program that has users.
#pragma once
#include "config/settings.h"
#include "directory/directory.h"
#include "directory/throttle.h"
#include "sasl/server.h"

namespace mail::directory {

Options options_from(const config::Settings& settings);
/// For --check: what cannot be understood in the files of users and aliases, "FILE:LINE: what". (A program that runs
/// leaves such aliases out, and such a file of users as a whole.) A file that is missing is the configuration's own
/// mistake and not told here.
std::vector<std::string> file_problems(const config::Settings& settings);
Throttle::Options throttle_from(const config::Auth& settings);
/// @param plain_secrets  Directory::has_plain_secrets()
sasl::ServerPolicy policy_from(const config::Settings& settings, bool plain_secrets);
/// The same for these users: what would fail for some of them is not in it (Directory::all_have_scram_keys()).
sasl::ServerPolicy policy_from(const config::Settings& settings, const Directory& users);

}  // namespace mail::directory
