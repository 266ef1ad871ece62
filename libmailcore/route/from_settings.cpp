#include "route/from_settings.h"

namespace mail::route {

Options options_from(const config::Settings& settings, std::vector<std::string> addresses) {
  Options options;
  options.delimiter = settings.users.recipient_delimiter;
  options.host_name = config::host_name(settings);
  options.addresses = std::move(addresses);
  options.postmaster = settings.host.postmaster;
  return options;
}

}  // namespace mail::route
