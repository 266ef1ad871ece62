// A name that `mta relay` and `mta queue` agree on.
#pragma once
#include <string_view>

namespace mail::relay {

/// Destinations that cannot be reached, one line each: `KEY MESSAGES NOT_BEFORE REPLY`.
inline constexpr std::string_view kStatusFile = "relay.status";

}  // namespace mail::relay
