// MESSAGELIMIT (RFC 9738): one command works on so many messages at most, the newest of those it names.
#pragma once
#include <string>

#include "base/result.h"
#include "imap/search_program.h"
#include "store/types.h"

namespace mail::imapd {

class Session;

struct Limited {
  store::UidSet uids;
  std::string code;  ///< `[MESSAGELIMIT 1000 23221] `, or empty where nothing was left out.
};
/// The highest UIDs of `uids`, as many as imap.message_limit allows.
Limited limited(const Session& session, store::UidSet uids);
/// For commands that are done whole or not at all: the answer where there are too many.
std::string over_limit(const Session& session, const store::UidSet& uids);

/// The messages that a search names by their numbers, all where it names none: what the limit counts (section 3.1).
Result<store::UidSet> messages_to_look_at(Session& session, const imap::SearchKey& key);

}  // namespace mail::imapd
