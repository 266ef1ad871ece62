#include <cstdlib>

#include "mta/relay/mta_sts.h"
#include "mta/relay/sts_policies.h"

/// A TXT record, a policy as it comes by HTTPS, and one as it is kept.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::relay;
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  if (const auto id = sts_id({std::string(octets)}); id && (id->empty() || id->size() > 32)) std::abort();
  if (const auto policy = StsPolicy::parse(octets)) {
    const auto again = StsPolicy::parse(policy->text());
    if (!again || *again != *policy) std::abort();
    for (const auto& pattern : policy->mx)
      if (!pattern.starts_with('*') && !policy->names(pattern)) std::abort();
  }
  if (const auto kept = KeptPolicy::parse(octets)) {
    const auto again = KeptPolicy::parse(kept->text());
    if (!again || again->id != kept->id || again->fetched != kept->fetched || again->policy != kept->policy)
      std::abort();
  }
  return 0;
}
