#include <idn2.h>

#include <algorithm>

#include "base/ip_address.h"
#include "base/strings.h"
#include "route/router.h"

namespace mail::route {
namespace {

constexpr std::size_t kLongestDomain = 253;  // RFC 1035 section 2.3.4, without the trailing dot
constexpr std::size_t kLongestLabel = 63;

auto malformed(std::string_view domain) {
  return fail(Error::Kind::syntax, concat({"not a domain: ", printable(domain.substr(0, 80))}));
}

Result<std::string> literal(std::string_view domain) {
  if (!domain.ends_with(']')) return malformed(domain);
  auto inside = domain.substr(1, domain.size() - 2);
  const bool tagged = istarts_with(inside, "IPv6:");
  if (tagged) inside.remove_prefix(5);
  const auto address = IpAddress::parse(inside);
  if (!address || (inside.find(':') != std::string_view::npos) != tagged) return malformed(domain);
  return address->to_literal();
}

Result<std::string> to_a_labels(std::string_view domain) {
  char* out = nullptr;
  // TR46: case, width and the ideographic full stops are mapped; what looks the same after that is the same.
  const int outcome = idn2_to_ascii_8z(std::string(domain).c_str(), &out, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  if (outcome != IDN2_OK) return malformed(domain);
  std::string text = to_lower(out);
  idn2_free(out);
  return text;
}

}  // namespace

bool is_host_name(std::string_view domain) {
  if (domain.empty() || domain.size() > kLongestDomain) return false;
  return std::ranges::all_of(split(domain, '.'), [](std::string_view label) {
    if (label.empty() || label.size() > kLongestLabel || label.front() == '-' || label.back() == '-') return false;
    // An underscore is in no host name, but in names that people use.
    return std::ranges::all_of(label, [](unsigned char c) { return is_alnum(c) || c == '-' || c == '_'; });
  });
}

Result<std::string> normalised_domain(std::string_view domain) {
  if (domain.starts_with('[')) return literal(domain);
  std::string text;
  if (is_ascii(domain)) {
    text = to_lower(domain);
  } else {
    if (!is_utf8(domain) || domain.find('\0') != std::string_view::npos) return malformed(domain);
    MAIL_TRY(labels, to_a_labels(domain));
    text = std::move(labels);
  }
  if (text.ends_with('.')) text.pop_back();
  if (!is_host_name(text)) return malformed(domain);
  return text;
}

}  // namespace mail::route
