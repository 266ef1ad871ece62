#include "config/values.h"

#include <array>
#include <limits>

#include "base/strings.h"

namespace mail::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array<Unit, 10> kSizes{{{"b", 1},
                                       {"", 1},
                                       {"k", 1ULL << 10U},
                                       {"kb", 1ULL << 10U},
                                       {"m", 1ULL << 20U},
                                       {"mb", 1ULL << 20U},
                                       {"g", 1ULL << 30U},
                                       {"gb", 1ULL << 30U},
                                       {"t", 1ULL << 40U},
                                       {"tb", 1ULL << 40U}}};
constexpr std::array<Unit, 12> kTimes{{{"ms", 1},
                                       {"s", 1000},
                                       {"sec", 1000},
                                       {"", 1000},
                                       {"m", 60'000},
                                       {"min", 60'000},
                                       {"h", 3'600'000},
                                       {"d", 86'400'000},
                                       {"day", 86'400'000},
                                       {"days", 86'400'000},
                                       {"w", 604'800'000},
                                       {"hours", 3'600'000}}};

/// The next "NUMBER UNIT" of `text`, which is shortened by it.
template <std::size_t N>
std::optional<std::uint64_t> take_quantity(std::string_view& text, const std::array<Unit, N>& units) {
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(static_cast<unsigned char>(text[digits]))) ++digits;
  const auto number = parse_decimal(text.substr(0, digits));
  if (!number) return std::nullopt;
  text = trim(text.substr(digits));
  std::size_t letters = 0;
  while (letters < text.size() && is_alpha(static_cast<unsigned char>(text[letters]))) ++letters;
  std::string name = to_lower(text.substr(0, letters));
  if (name.ends_with("ib") && name.size() == 3) name.erase(1, 1);
  text = trim(text.substr(letters));
  for (const auto& unit : units) {
    if (unit.name != name) continue;
    if (*number > std::numeric_limits<std::int64_t>::max() / unit.factor) return std::nullopt;
    return *number * unit.factor;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Octets> parse_octets(std::string_view text) {
  text = trim(text);
  const auto count = take_quantity(text, kSizes);
  if (!count || !text.empty()) return std::nullopt;
  return Octets{*count};
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  text = trim(text);
  std::uint64_t sum = 0;
  do {
    const auto part = take_quantity(text, kTimes);
    if (!part || *part > std::numeric_limits<std::int64_t>::max() / 4 - sum) return std::nullopt;
    sum += *part;
  } while (!text.empty());
  return std::chrono::milliseconds(sum);
}

std::optional<Rate> parse_rate(std::string_view text) {
  const auto [count_text, time_text] = split_once(text, '/');
  const auto count = parse_decimal(trim(count_text));
  const auto time = parse_duration(time_text);
  if (!count || !time || *count == 0 || time->count() == 0) return std::nullopt;
  return Rate{.count = *count, .time = *time};
}

std::string print_octets(Octets octets) {
  constexpr std::array<Unit, 3> kPrinted{{{"GB", 1ULL << 30U}, {"MB", 1ULL << 20U}, {"kB", 1ULL << 10U}}};
  for (const auto& unit : kPrinted)
    if (octets.count >= unit.factor && octets.count % unit.factor == 0)
      return decimal(octets.count / unit.factor).append(unit.name);
  return decimal(octets.count);
}

std::string print_duration(std::chrono::milliseconds duration) {
  constexpr std::array<Unit, 4> kPrinted{{{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}}};
  const auto count = static_cast<std::uint64_t>(duration.count());
  for (const auto& unit : kPrinted)
    if (count >= unit.factor && count % unit.factor == 0) return decimal(count / unit.factor).append(unit.name);
  return count == 0 ? "0s" : decimal(count) + "ms";
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint out;
  if (text.starts_with("unix:") || text.starts_with("/")) {
    out.path = text.starts_with("/") ? text : text.substr(5);
    if (!out.path.starts_with("/") || out.path.size() > 107) return std::nullopt;  // sun_path holds 108
    return out;
  }
  std::string_view port;
  if (text.starts_with("[")) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    out.host = text.substr(1, end - 1);
    if (!IpAddress::parse(out.host)) return std::nullopt;
    port = text.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return std::nullopt;
    if (!port.empty()) port.remove_prefix(1);
    if (port.empty() && text.back() == ':') return std::nullopt;
  } else if (IpAddress::parse(text)) {
    out.host = text;  // an IPv6 address without brackets has colons but no port
  } else {
    const auto colon = text.find(':');
    out.host = text.substr(0, colon);
    if (colon != std::string_view::npos) {
      port = text.substr(colon + 1);
      if (port.empty()) return std::nullopt;
    }
  }
  if (out.host.empty()) return std::nullopt;
  for (const char c : out.host)
    if (static_cast<unsigned char>(c) <= ' ' || c == '/' || c == '@') return std::nullopt;
  if (!port.empty()) {
    const auto number = parse_decimal<std::uint16_t>(port);
    if (!number) return std::nullopt;
    out.port = *number;
  }
  return out;
}

std::string Endpoint::to_string() const {
  if (!path.empty()) return "unix:" + path;
  const bool brackets = host.find(':') != std::string::npos;
  std::string out = brackets ? concat({"[", host, "]"}) : host;
  if (port != 0) out += ":" + decimal(port);
  return out;
}

}  // namespace mail::config
