// The header of an internationalized message for a client that has not said UTF8 (RFC 6856 section 2.1, after RFC
// 6858).
#pragma once
#include <string>
#include <string_view>

namespace mail::pop3 {

/// True where the octets of the header (up to the first empty line) hold any above 127.
bool needs_surrogate(std::string_view header);
/// The header with its 8-bit text as encoded words (RFC 2047) and internationalized addresses as empty groups that name
/// them (RFC 6858 section 2); what is ASCII stays as it is. Line ends are those of the input.
std::string surrogate_header(std::string_view header);

}  // namespace mail::pop3
