// Names that `mta relay` and `mta queue` agree on.
#pragma once
#include <string_view>

namespace mail::relay {

inline constexpr std::string_view kNudgeDirectory = "relay";  // below journal
inline constexpr std::string_view kNudgePrefix = "nudge.";
/// Destinations that cannot be reached, one line each: `KEY MESSAGES NOT_BEFORE REPLY`.
inline constexpr std::string_view kStatusFile = "relay.status";

}  // namespace mail::relay
