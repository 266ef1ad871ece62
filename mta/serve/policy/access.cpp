#include "mta/serve/policy/access.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::mta {

bool name_matches(const config::Strings& patterns, std::string_view name) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) {
    if (pattern.starts_with('.')) return iends_with(name, pattern) && name.size() > pattern.size();
    return iequals(pattern, name);
  });
}

bool address_matches(const config::Strings& patterns, std::string_view address) {
  const auto at = address.rfind('@');
  const auto domain = at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
  return std::ranges::any_of(patterns, [&](const std::string& pattern) {
    if (pattern == "<>") return address.empty();
    if (pattern.ends_with('@')) return at != std::string_view::npos && iequals(address.substr(0, at + 1), pattern);
    if (pattern.find('@') != std::string::npos) return iequals(address, pattern);
    return !domain.empty() && name_matches({pattern}, domain);
  });
}

bool is_full_name(std::string_view helo) {
  if (helo.starts_with('[') && helo.ends_with(']')) return true;
  if (helo.ends_with('.')) helo.remove_suffix(1);
  if (helo.find('.') == std::string_view::npos || helo.size() > 253 || IpAddress::parse(helo)) return false;
  return std::ranges::all_of(split(helo, '.'), [](std::string_view label) {
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           std::ranges::all_of(label, [](char c) {
             const auto octet = static_cast<unsigned char>(c);
             return is_alnum(octet) || c == '-' || c == '_' || octet >= 0x80;
           });
  });
}

}  // namespace mail::mta
