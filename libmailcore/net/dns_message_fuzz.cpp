#include <cstdlib>

#include "net/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mail::net::DnsType;
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  const mail::net::DnsLimits limits{20, 4};
  for (const auto type :
       {DnsType::a, DnsType::aaaa, DnsType::mx, DnsType::txt, DnsType::ptr, DnsType::tlsa, DnsType::cname}) {
    const auto answer = mail::net::parse_dns_answer(octets, type, "example.test", limits);
    if (answer &&
        answer->addresses.size() + answer->mx.size() + answer->texts.size() + answer->tlsa.size() > limits.records)
      std::abort();
  }
  return 0;
}
