#include "net/proxy_header.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::net {
namespace {

using Parsed = Result<std::optional<ProxyHeader>>;
using namespace std::string_view_literals;

constexpr auto kSignature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr auto kWord = "PROXY "sv;
constexpr std::size_t kMostV1Octets = 107;  // with CRLF

tl::unexpected<Error> wrong(std::string_view why) { return fail(Error::Kind::syntax, concat({"PROXY header: ", why})); }

std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;  // "no leading zero"
  return parse_decimal<std::uint16_t>(text);
}

std::optional<SocketAddress> parse_end(std::string_view ip, std::string_view port, bool v4) {
  // The address must be written in the family's own form: ::ffff:192.0.2.1 is no TCP4 address, and no other text is one
  // of TCP6.
  const bool has_colon = ip.find(':') != std::string_view::npos;
  const auto address = IpAddress::parse(ip);
  const auto number = parse_port(port);
  if (!address || !number || has_colon == v4) return std::nullopt;
  return SocketAddress{*address, *number, {}};
}

Parsed parse_v1(std::string_view octets) {
  const auto common = std::min(octets.size(), kWord.size());
  if (octets.substr(0, common) != kWord.substr(0, common)) return wrong("neither version 1 nor 2");
  const auto newline = octets.substr(0, kMostV1Octets).find('\n');
  if (newline == std::string_view::npos) {
    if (octets.size() >= kMostV1Octets) return wrong("line too long");
    return std::nullopt;
  }
  if (octets[newline - 1] != '\r') return wrong("line ends without CR");
  ProxyHeader header;
  header.octets = newline + 1;
  const auto line = octets.substr(0, newline - 1);
  const auto words = split(line, ' ');
  if (words.size() >= 2 && words[1] == "UNKNOWN") return header;
  if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6"))
    return wrong("not TCP4, TCP6 or UNKNOWN with two addresses");
  const bool v4 = words[1] == "TCP4";
  header.source = parse_end(words[2], words[4], v4);
  header.destination = parse_end(words[3], words[5], v4);
  if (!header.source || !header.destination) return wrong("bad address or port");
  return header;
}

std::uint16_t big_endian(std::string_view octets) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(octets[0]) << 8U |
                                    static_cast<unsigned char>(octets[1]));
}

constexpr std::size_t kFixedOctets = 16;

/// CRC-32C (RFC 3720 appendix B.4), reflected; a header is short, so without a table.
std::uint32_t crc32c(std::string_view octets) {
  std::uint32_t crc = 0xffffffffU;
  for (const char c : octets) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x82f63b78U : crc >> 1U;
  }
  return ~crc;
}

/// The extensions (TLVs) behind the addresses: their lengths must fit, and a checksum among them must hold.
bool extensions_hold(std::string_view header, std::size_t at) {
  constexpr unsigned char kChecksum = 3;
  while (at < header.size()) {
    if (header.size() - at < 3) return false;
    const std::size_t octets = big_endian(header.substr(at + 1));
    if (octets > header.size() - at - 3) return false;
    if (static_cast<unsigned char>(header[at]) == kChecksum) {
      if (octets != 4) return false;
      std::string zeroed(header);
      zeroed.replace(at + 3, 4, 4, '\0');
      const auto sum = crc32c(zeroed);
      const auto said =
          static_cast<std::uint32_t>(big_endian(header.substr(at + 3))) << 16U | big_endian(header.substr(at + 5));
      if (sum != said) return false;
    }
    at += 3 + octets;
  }
  return true;
}

Parsed parse_v2(std::string_view octets) {
  if (octets.size() > 12 && static_cast<unsigned char>(octets[12]) >> 4U != 2) return wrong("unknown version");
  if (octets.size() > 12 && (static_cast<unsigned char>(octets[12]) & 15U) > 1) return wrong("unknown command");
  if (octets.size() < kFixedOctets) return std::nullopt;
  const bool local = (static_cast<unsigned char>(octets[12]) & 15U) == 0;
  const unsigned family = static_cast<unsigned char>(octets[13]) >> 4U;
  const unsigned transport = static_cast<unsigned char>(octets[13]) & 15U;
  const std::size_t length = big_endian(octets.substr(14));
  ProxyHeader header;
  header.octets = kFixedOctets + length;
  if (header.octets > kMostProxyOctets) return wrong("too long");
  const std::size_t each = family == 1 ? 4 : family == 2 ? 16 : 0;
  const bool usable = !local && each != 0 && transport == 1;
  if (!local && (family > 3 || transport > 2)) return wrong("unknown address family");
  if (!local && each != 0 && length < 2 * each + 4) return wrong("address block too short");
  if (octets.size() < header.octets) return std::nullopt;
  const std::size_t addresses = each != 0 ? 2 * each + 4 : family == 3 ? 216 : 0;
  if (!local && !extensions_hold(octets.substr(0, header.octets), kFixedOctets + std::min(addresses, length)))
    return wrong("bad extension");
  if (!usable) return header;
  const auto block = octets.substr(kFixedOctets, length);
  const auto address = [&](std::size_t at) {
    return each == 4 ? IpAddress::v4(&block[at]) : IpAddress::v6(&block[at]);
  };
  header.source = SocketAddress{address(0), big_endian(block.substr(2 * each)), {}};
  header.destination = SocketAddress{address(each), big_endian(block.substr(2 * each + 2)), {}};
  return header;
}

}  // namespace

Parsed parse_proxy_header(std::string_view octets) {
  if (octets.empty()) return std::nullopt;
  const auto common = std::min(octets.size(), kSignature.size());
  if (octets.substr(0, common) == kSignature.substr(0, common))
    return octets.size() < kSignature.size() ? Parsed(std::nullopt) : parse_v2(octets);
  return parse_v1(octets);
}

}  // namespace mail::net
