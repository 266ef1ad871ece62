// What a domain publishes by MTA-STS (RFC 8461): the TXT record, and the policy. Texts only: who asks for them is
// sts_policies.h.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mail::relay {

/// Longest policy that is read (RFC 8461 section 3.3).
inline constexpr std::size_t kMostStsOctets = 65536;

/// The id in the one record of `_mta-sts.DOMAIN` that is of this version (section 3.1); nothing where there is none,
/// more than one, or one that is not written as it should be.
/// @param records  the strings of each record joined
std::optional<std::string> sts_id(const std::vector<std::string>& records);

struct StsPolicy {
  enum class Mode { none, testing, enforce } mode = Mode::none;
  std::chrono::seconds max_age{0};  ///< A year and a day at most.
  std::vector<std::string> mx;      ///< Lower case; "*.example.net": one label more.

  /// Section 3.2. Unknown fields are passed over, of repeated ones the first counts.
  /// @return syntax where something is wrong or missing
  static Result<StsPolicy> parse(std::string_view text);
  /// As it is published, with LF; parse() reads it back.
  std::string text() const;
  /// Whether this may be one of the domain's hosts (section 4.1).
  bool names(std::string_view host) const;
  friend bool operator==(const StsPolicy&, const StsPolicy&) = default;
};
/// "none", "testing", "enforce".
std::string_view to_string(StsPolicy::Mode mode);

/// The value of the first field of this name in a text of `name: value` lines; nothing where there is none.
std::optional<std::string_view> sts_field(std::string_view text, std::string_view name);

}  // namespace mail::relay
