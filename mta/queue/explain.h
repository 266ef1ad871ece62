// `mta explain`: a dry run for one address: route, rule, hosts, TLS. Asks the DNS, connects to nobody.
#pragma once
#include <string>

#include "config/settings.h"

namespace mail::queue {

/// @return what to print, and the exit code: 0, 67 (EX_NOUSER) where the address is refused, 75 where it cannot be said
/// now.
struct Explanation {
  std::string text;
  int code = 0;
};
/// Whose message it would be, for routes that ask.
struct From {
  std::string sender;   ///< The reverse-path.
  std::string account;  ///< The log-in; empty: mail from outside.
};
Explanation explain(const config::Settings& settings, const std::string& address, const From& from = {});

}  // namespace mail::queue
