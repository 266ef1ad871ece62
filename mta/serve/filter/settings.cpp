#include "mta/serve/filter/settings.h"

#include <algorithm>

#include "base/strings.h"
#include "config/peers.h"

namespace mail::mta {
namespace {

/// Of one of config::kMilterFailures, in their order.
FilterFailure failure_of(std::string_view word) {
  const auto* const found = std::ranges::find(config::kMilterFailures, word);
  return found == config::kMilterFailures.end() ? FilterFailure::tempfail
                                                : static_cast<FilterFailure>(found - config::kMilterFailures.begin());
}

}  // namespace

Result<Filters> Filters::open(const config::Settings& settings) {
  const auto& from = settings.policy;
  Filters filters;
  filters.connect_timeout = from.milter_connect_timeout;
  filters.command_timeout = from.milter_timeout;
  filters.message_timeout = from.milter_message_timeout;
  filters.most_body_octets = settings.smtp.message_octets != 0 ? settings.smtp.message_octets : SIZE_MAX;
  for (const auto& entry : from.milters) {
    const auto milter = config::Milter::parse(entry);
    if (!milter) return fail(Error::Kind::permanent, concat({"policy.milters ", milter.error().text}));
    MAIL_TRY(address, net::SocketAddress::parse(milter->address.to_string()));
    filters.list.push_back({address, failure_of(milter->failure.empty() ? from.milter_failure : milter->failure)});
  }
  return filters;
}

}  // namespace mail::mta
