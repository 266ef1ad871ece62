#include "mta/serve/filter/settings.h"

#include <array>
#include <optional>

#include "base/strings.h"

namespace mail::mta {
namespace {

std::optional<FilterFailure> failure_of(std::string_view word) {
  if (word == "accept") return FilterFailure::accept;
  if (word == "tempfail") return FilterFailure::tempfail;
  if (word == "reject") return FilterFailure::reject;
  if (word == "quarantine") return FilterFailure::quarantine;
  return std::nullopt;
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
    const auto words = split_words(entry);
    const auto address = words.empty() ? net::SocketAddress::parse("") : net::SocketAddress::parse(words.front());
    const auto failure = failure_of(words.size() == 2 ? words[1] : std::string_view(from.milter_failure));
    if (!address || !failure || words.size() > 2)
      return fail(Error::Kind::permanent,
                  concat({"policy.milters: \"unix:/path\" or \"address:port\" is needed, and behind it may be accept, "
                          "tempfail, reject or quarantine: not \"",
                          printable(entry), "\""}));
    filters.list.push_back({*address, *failure});
  }
  return filters;
}

}  // namespace mail::mta
