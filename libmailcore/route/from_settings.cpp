#include "route/from_settings.h"

#include "base/strings.h"

namespace mail::route {
namespace {

/// Of relay recipients only the keys count.
std::optional<std::string> any_value(std::string_view, std::string_view) { return std::nullopt; }

}  // namespace

Options options_from(const config::Settings& settings, std::vector<std::string> addresses, const Clock& clock) {
  Options options;
  options.delimiter = settings.users.recipient_delimiter;
  options.host_name = config::host_name(settings);
  options.addresses = std::move(addresses);
  options.postmaster = settings.host.postmaster;
  for (const auto& domain : settings.smtp.relay_domains) options.relay_domains.push_back(to_lower(domain));
  if (!settings.smtp.relay_recipients.empty()) {
    auto maps = std::make_shared<Maps>();
    maps->add(settings.smtp.relay_recipients, any_value, clock);
    maps->reload();
    options.relay_recipients = std::move(maps);
  }
  options.routes = std::make_shared<const Routes>(settings, clock);
  options.rewriting = std::make_shared<const Rewriting>(settings, clock);
  options.routes->reload();
  options.rewriting->reload();
  return options;
}

std::vector<std::string> map_problems(const config::Settings& settings) {
  auto out = Routes(settings).problems();
  for (auto& problem : Rewriting(settings).problems()) out.push_back(std::move(problem));
  Maps recipients;
  recipients.add(settings.smtp.relay_recipients, any_value);
  recipients.problems(out);
  return out;
}

}  // namespace mail::route
