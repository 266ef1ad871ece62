// Servers that `mta serve` asks, as the configuration names them. relais.toml(5) has the grammar.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/values.h"

namespace mail::config {

/// "127.0.0.1:10023", "[::1]:10023", "unix:/path": no names, no "*", and a port.
/// @return syntax with what was meant, as the end of a sentence that names the key.
Result<Endpoint> parse_peer(std::string_view text);

/// What may happen to a message whose filter does not answer.
inline constexpr std::array<std::string_view, 4> kMilterFailures{"accept", "tempfail", "reject", "quarantine"};

/// An entry of policy.milters: a peer, and behind a blank one of kMilterFailures.
struct Milter {
  Endpoint address;
  std::string failure;  ///< Empty: as policy.milter_failure says.
  /// @return as parse_peer().
  static Result<Milter> parse(std::string_view text);
};

}  // namespace mail::config
