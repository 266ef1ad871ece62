// The kinds of value a key of the configuration file may have.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"

namespace mail::config {

/// A number of octets, written "64MB", "512 kB", "1GiB" or as a plain number; MB and MiB both are 1024 * 1024, as mail
/// people count.
struct Octets {
  std::uint64_t count = 0;
  constexpr operator std::uint64_t() const { return count; }  // NOLINT: meant to be used as a number
  friend bool operator==(const Octets&, const Octets&) = default;
};
constexpr Octets kilobytes(std::uint64_t n) { return {n * 1024}; }
constexpr Octets megabytes(std::uint64_t n) { return {n * 1024 * 1024}; }

/// Where to listen or to connect: "127.0.0.1:25", "[::1]:25", "*:25" (all addresses, IPv6 and IPv4),
/// "mail.example.org:25", "unix:/path". Without a port where a row allows it ("192.0.2.1"): port 0.
struct Endpoint {
  std::string host;  ///< Address text or name, without brackets; empty for a Unix socket; "*" for all addresses.
  std::uint16_t port = 0;
  std::string path;  ///< Of a Unix socket, else empty.
  static std::optional<Endpoint> parse(std::string_view text);
  std::string to_string() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
using Endpoints = std::vector<Endpoint>;

using Strings = std::vector<std::string>;
using Networks = std::vector<IpPrefix>;
/// [section.table] with free keys: NAME = "text". Keys in lower case, in the order of the alphabet.
using Table = std::map<std::string, std::string>;

/// One [[tls.certificates]].
struct Certificate {
  std::string certificate;  ///< PEM, with the chain.
  std::string key;          ///< PEM; empty: in the same file.
  friend bool operator==(const Certificate&, const Certificate&) = default;
};

/// "64MB" etc. and "5m", "90 s", "1h30m", "250ms", "4d"; nothing for other text.
std::optional<Octets> parse_octets(std::string_view text);
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// "60/1m": a count, and the time in which it may be reached; neither is zero.
struct Rate {
  std::uint64_t count = 1;
  std::chrono::milliseconds time{1000};
  friend bool operator==(const Rate&, const Rate&) = default;
};
std::optional<Rate> parse_rate(std::string_view text);
std::string print_octets(Octets octets);
std::string print_duration(std::chrono::milliseconds duration);

}  // namespace mail::config
