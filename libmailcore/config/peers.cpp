#include "config/peers.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::config {

Result<Endpoint> parse_peer(std::string_view text) {
  auto endpoint = Endpoint::parse(text);
  if (endpoint && (!endpoint->path.empty() || (endpoint->port != 0 && IpAddress::parse(endpoint->host))))
    return std::move(*endpoint);
  return fail(Error::Kind::syntax,
              concat({"must be \"address:port\" (an IP address) or \"unix:/path\", not \"", printable(text), "\""}));
}

Result<Milter> Milter::parse(std::string_view text) {
  const auto words = split_words(text);
  Milter out;
  MAIL_TRY(address, parse_peer(words.empty() ? std::string_view() : words.front()));
  out.address = std::move(address);
  if (words.size() > 1) out.failure = words[1];
  if (words.size() > 2 || (words.size() == 2 && std::ranges::find(kMilterFailures, words[1]) == kMilterFailures.end()))
    return fail(
        Error::Kind::syntax,
        concat({"may have accept, tempfail, reject or quarantine behind the address, not \"", printable(text), "\""}));
  return out;
}

}  // namespace mail::config
