// IPv4 and IPv6 addresses and prefixes as values, without sockets.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mail {

class IpAddress {
 public:
  IpAddress() = default;  ///< 0.0.0.0
  /// "192.0.2.1" or "2001:db8::1" (no brackets, no zone); nothing for other text. ::ffff:192.0.2.1 becomes the IPv4
  /// address.
  static std::optional<IpAddress> parse(std::string_view text);
  static IpAddress v4(const void* four_octets);
  static IpAddress v6(const void* sixteen_octets);  ///< IPv4-mapped addresses become IPv4.

  bool is_v4() const { return v4_; }
  bool is_v6() const { return !v4_; }
  bool is_loopback() const;
  bool is_unspecified() const;
  /// Loopback, link-local, unspecified, multicast, broadcast, RFC 1918 and RFC 4193: not a place to send mail of the
  /// Internet to.
  bool is_private() const;
  std::string to_string() const;
  /// As in an SMTP address literal (RFC 5321 section 4.1.3), with brackets: "[192.0.2.1]", "[IPv6:2001:db8::1]".
  std::string to_literal() const;
  /// "1.2.0.192.in-addr.arpa", the ip6.arpa nibbles; with another zone for DNSBLs (RFC 5782): reversed("zen.example").
  std::string reversed(std::string_view zone) const;
  std::string reversed() const { return reversed(v4_ ? "in-addr.arpa" : "ip6.arpa"); }
  /// 4 or 16 octets in network order.
  std::string_view octets() const { return {reinterpret_cast<const char*>(octets_.data()), v4_ ? 4U : 16U}; }
  /// The address with all but the first `bits` bits zero.
  IpAddress masked(unsigned bits) const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> octets_{};
  bool v4_ = true;
};

/// "192.0.2.0/24", "2001:db8::/32", or one address.
class IpPrefix {
 public:
  static std::optional<IpPrefix> parse(std::string_view text);
  bool contains(const IpAddress& address) const;
  std::string to_string() const;
  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;

 private:
  IpAddress address_;
  unsigned bits_ = 32;
};

}  // namespace mail
