// METADATA entries of the mailbox "" (RFC 5464 section 3.3): a user's own below /private, the server's below /shared.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "imapd/session.h"
#include "store/server_notes.h"

namespace mail::imapd {

/// [disk] As the session's user sees them; /shared/admin is the postmaster's address (section 6.2.2).
Result<store::Notes> server_entries(Session& session);
/// [disk] Sets them, or removes those without a value: the server's may be set by administrators only, all or none.
/// @return the refusal, or nothing
std::optional<Completion> set_server_entries(
    Session& session, const std::vector<std::pair<std::string, std::optional<std::string>>>& changes);

/// Of one mailbox, or of the server.
inline constexpr std::size_t kMostMetadataEntries = 100;

}  // namespace mail::imapd
