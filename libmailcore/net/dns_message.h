// Answers as they come from the wire (RFC 1035 section 4). A core: octets in, records out. Internal to net/.
#pragma once
#include <string_view>

#include "net/resolver.h"

namespace mail::net {

struct DnsLimits {
  std::size_t records = 1000;
  unsigned cnames = 8;
};

/// @param name  what was asked for; the CNAME chain is followed from it
/// @return see DnsResult; temporary also for octets that are no answer to this question
DnsResult parse_dns_answer(std::string_view octets, DnsType type, std::string_view name, const DnsLimits& limits);
std::string_view to_string(DnsType type);
/// Lower case, without the final dot; nothing where `name` cannot be asked for (empty labels, more than 63 or 253
/// octets).
std::optional<std::string> normal_name(std::string_view name);

}  // namespace mail::net
