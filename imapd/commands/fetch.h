// FETCH responses that no FETCH command asked for (RFC 5465 sections 5.2 and 7).
#pragma once
#include <memory>
#include <vector>

#include "imapd/command.h"
#include "imapd/fetch_items.h"
#include "store/types.h"

namespace mail::imapd {

class Session;

/// Sends `wanted` of the messages, those that are gone meanwhile left out; nothing becomes \Seen by it. The completion
/// of its last step is of no interest.
std::unique_ptr<Work> fetch_unsolicited(Session& session, std::vector<Wanted> wanted, store::UidSet uids);

}  // namespace mail::imapd
