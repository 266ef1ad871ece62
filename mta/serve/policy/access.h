// Lists of addresses and names that a rule is for.
#pragma once
#include <string>
#include <string_view>

#include "config/settings.h"

namespace mail::mta {

/// True where one of `patterns` is for `address`: "user@domain", "domain", ".domain" (any domain below it) or "user@"
/// (this local part anywhere). Without regard to case; "<>" is the null reverse-path.
bool address_matches(const config::Strings& patterns, std::string_view address);
/// The same for a host's name: "name" or ".domain".
bool name_matches(const config::Strings& patterns, std::string_view name);
/// True where the name is a full one ("mail.example.org") or an address literal, and so fit for HELO (RFC 5321
/// section 2.3.5).
bool is_full_name(std::string_view helo);

}  // namespace mail::mta
