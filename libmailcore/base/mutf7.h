// Modified UTF-7 (RFC 9051 appendix A.1, RFC 3501 section 5.1.3): mailbox names in IMAP4rev1 and on disk.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace mail {

/// UTF-8 to modified UTF-7. The input must be valid UTF-8; nothing for what is not.
std::optional<std::string> to_mutf7(std::string_view utf8);
/// Modified UTF-7 to UTF-8. Strict: only the one right encoding of each name is accepted (to_mutf7(result) == input),
/// so that no two names mean one mailbox.
std::optional<std::string> from_mutf7(std::string_view name);

}  // namespace mail
