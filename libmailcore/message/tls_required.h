// The TLS-Required header field (RFC 8689 section 3).
#pragma once
#include <string_view>

namespace mail::message {

/// True where the header says `TLS-Required: No`: the message is to go also where TLS with the next host does not come
/// about, whatever policy asks for it. @param text  begins with the header
bool tls_is_optional(std::string_view text);

}  // namespace mail::message
