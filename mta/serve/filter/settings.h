// [policy] milters: the mail filters that serve asks, in their order.
#pragma once
#include <chrono>
#include <vector>

#include "config/settings.h"
#include "net/address.h"

namespace mail::mta {

/// What happens to a message where its filter does not answer: config::kMilterFailures.
enum class FilterFailure { accept, tempfail, reject, quarantine };

struct Filter {
  net::SocketAddress address;
  FilterFailure failure = FilterFailure::tempfail;
};

struct Filters {
  std::vector<Filter> list;
  std::chrono::milliseconds connect_timeout{}, command_timeout{}, message_timeout{};
  std::size_t most_body_octets = 0;  ///< Of a body that a filter puts in the place of the message's.
  /// @return permanent: "policy.milters …" names the entry and what is wrong.
  static Result<Filters> open(const config::Settings& settings);
};

}  // namespace mail::mta
