#include "mta/queue/destinations.h"

#include "base/strings.h"
#include "directory/from_settings.h"
#include "mta/relay/targets.h"
#include "route/from_settings.h"

namespace mail::queue {

const route::Router* Destinations::router() {
  if (!std::exchange(tried_, true)) {
    if (auto users = directory::Directory::open(directory::options_from(settings_))) {
      users_ = std::move(*users);
      router_ = std::make_unique<route::Router>(*users_, route::options_from(settings_));
    }
  }
  return router_.get();
}

std::string Destinations::key(const spool::Envelope& envelope, const spool::Recipient& recipient) {
  const auto* const asked = router();
  if (asked == nullptr) return {};
  const auto route =
      asked->route(recipient.forward_path, {.sender = {envelope.reverse_path, envelope.authenticated_user}});
  if (!route || route->refusal || route->targets.size() != 1) return {};
  const auto* const remote = std::get_if<route::Remote>(&route->targets.front().destination);
  return remote == nullptr ? std::string() : relay::next_hop_of(settings_.relay, *remote, envelope).key;
}

std::optional<std::string> Destinations::refusal(const std::string& address) {
  const auto* const asked = router();
  if (asked == nullptr) return std::nullopt;
  const auto route = asked->route(address);
  if (!route || !route->refusal) return std::nullopt;
  const auto& refusal = *route->refusal;
  return concat({decimal(refusal.code), " ", refusal.enhanced, " ", refusal.text});
}

}  // namespace mail::queue
