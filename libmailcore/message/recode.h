// A message for a host that takes less than it holds: 8-bit and binary parts become quoted-printable or base64
// (RFC 6152 section 3, RFC 3030 section 3), everything else stays as it is.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace mail::message {

/// What the next host takes.
enum class Passage {
  seven_bit,  ///< No octet above 127 in any body.
  eight_bit,  ///< 8BITMIME, but not BINARYMIME: lines, up to 998 octets, no NUL.
};

/// Parts that would not get through are encoded, each by itself; boundaries, preambles and the headers' other fields
/// stay. Raw 8-bit octets in header fields stay too: nobody knows their charset. What has no MIME fields gets them
/// (RFC 1428: charset unknown-8bit where it is not UTF-8).
/// @return permanent where a part may not be changed: what is signed or encrypted (RFC 1847, its octets are what was
/// signed), message/partial and message/external-body (RFC 2046 section 5.2), parts nested too deep to be known.
Result<std::string> recoded(std::string_view message, Passage passage);

}  // namespace mail::message
