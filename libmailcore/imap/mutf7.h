// Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3) and, once IMAP4rev2 or UTF8=ACCEPT is enabled,
// UTF-8.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace mail::imap {

/// UTF-8 to modified UTF-7. `utf8` is well-formed.
std::string to_mutf7(std::string_view utf8);
/// Modified UTF-7 to UTF-8. Nothing for what is not exactly the form to_mutf7() writes: 8-bit octets, printable ASCII
/// in base64, adjacent shifts, lone surrogates, stray bits. Two spellings of one name would be two names to other
/// clients.
std::optional<std::string> from_mutf7(std::string_view text);
/// A mailbox name as it came from a client, either form, to UTF-8: UTF-8 where `utf8_names` is set or where it has
/// 8-bit octets and is well-formed, else modified UTF-7 in its canonical form.
std::optional<std::string> mailbox_name_from_wire(std::string_view text, bool utf8_names);

/// LIST's wildcards (RFC 9051 section 6.3.9): `*` any run of characters, `%` any run without `separator`. INBOX as
/// first level matches in any case. Linear in name length times pattern length, whatever the pattern.
bool list_pattern_matches(std::string_view pattern, std::string_view name, char separator);

}  // namespace mail::imap
