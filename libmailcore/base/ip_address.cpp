#include "base/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"

namespace mail {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

const IpPrefix& prefix(std::string_view text) {
  // One table of what is private; parsed once.
  static const std::array<std::pair<std::string_view, IpPrefix>, 13> kTable = [] {
    std::array<std::pair<std::string_view, IpPrefix>, 13> table{};
    constexpr std::array<std::string_view, 13> kTexts{
        "0.0.0.0/8",     "10.0.0.0/8",     "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",   "::/128",      "::1/128",
        "fc00::/7",      "fe80::/10",      "ff00::/8"};
    for (std::size_t i = 0; i < kTexts.size(); ++i) table[i] = {kTexts[i], *IpPrefix::parse(kTexts[i])};
    return table;
  }();
  return std::ranges::find(kTable, text, &std::pair<std::string_view, IpPrefix>::first)->second;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  std::array<std::uint8_t, 16> octets{};
  if (inet_pton(AF_INET, copy, octets.data()) == 1) return v4(octets.data());
  if (inet_pton(AF_INET6, copy, octets.data()) == 1) return v6(octets.data());
  return std::nullopt;
}

IpAddress IpAddress::v4(const void* four_octets) {
  IpAddress address;
  std::memcpy(address.octets_.data(), four_octets, 4);
  return address;
}

IpAddress IpAddress::v6(const void* sixteen_octets) {
  const auto* octets = static_cast<const std::uint8_t*>(sixteen_octets);
  if (std::equal(kMapped.begin(), kMapped.end(), octets)) return v4(octets + 12);
  IpAddress address;
  address.v4_ = false;
  std::memcpy(address.octets_.data(), octets, 16);
  return address;
}

bool IpAddress::is_loopback() const { return prefix(v4_ ? "127.0.0.0/8" : "::1/128").contains(*this); }

bool IpAddress::is_unspecified() const {
  return std::ranges::all_of(octets_, [](std::uint8_t octet) { return octet == 0; });
}

bool IpAddress::is_private() const {
  for (const auto* text : {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
                           "192.168.0.0/16", "224.0.0.0/3", "::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8"})
    if (prefix(text).contains(*this)) return true;
  return false;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v4_ ? AF_INET : AF_INET6, octets_.data(), text, sizeof text);
  return text;
}

std::string IpAddress::to_literal() const { return concat({v4_ ? "[" : "[IPv6:", to_string(), "]"}); }

std::string IpAddress::reversed(std::string_view zone) const {
  std::string out;
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto all = octets();
  for (auto octet = all.rbegin(); octet != all.rend(); ++octet) {
    const auto value = static_cast<unsigned char>(*octet);
    if (v4_)
      out += decimal(static_cast<unsigned>(value)) + ".";
    else
      out += {kDigits[value & 15U], '.', kDigits[value >> 4U], '.'};
  }
  return out.append(zone);
}

IpAddress IpAddress::masked(unsigned bits) const {
  IpAddress out = *this;
  for (unsigned i = 0; i < octets_.size(); ++i) {
    const unsigned kept = bits <= i * 8 ? 0 : std::min(bits - i * 8, 8U);
    out.octets_[i] = static_cast<std::uint8_t>(out.octets_[i] & (0xff00U >> kept));
  }
  return out;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  IpPrefix out;
  const unsigned most = address->is_v4() ? 32 : 128;
  out.bits_ = most;
  if (slash != std::string_view::npos) {
    const auto bits = parse_decimal<unsigned>(text.substr(slash + 1));
    if (!bits || *bits > most) return std::nullopt;
    out.bits_ = *bits;
  }
  out.address_ = address->masked(out.bits_);
  return out;
}

bool IpPrefix::contains(const IpAddress& address) const {
  return address.is_v4() == address_.is_v4() && address.masked(bits_) == address_;
}

std::string IpPrefix::to_string() const {
  const unsigned most = address_.is_v4() ? 32 : 128;
  return bits_ == most ? address_.to_string() : concat({address_.to_string(), "/", decimal(bits_)});
}

}  // namespace mail
