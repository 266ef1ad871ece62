// Quota of an account (RFC 9208 resources STORAGE and MESSAGE), kept as Maildir++ `maildirsize` so that other programs
// see the same.
#pragma once
#include <cstdint>

namespace mail::store {

struct QuotaLimits {
  std::uint64_t octets = 0;    ///< 0: none.
  std::uint64_t messages = 0;  ///< 0: none.
  bool operator==(const QuotaLimits&) const = default;
};
struct QuotaUsage {
  std::uint64_t octets = 0;
  std::uint64_t messages = 0;
};
inline bool exceeds(const QuotaLimits& limits, const QuotaUsage& usage) {
  return (limits.octets != 0 && usage.octets > limits.octets) ||
         (limits.messages != 0 && usage.messages > limits.messages);
}

}  // namespace mail::store
