// QRESYNC's part of SELECT (RFC 7162 section 3.2.5).
#pragma once
#include <optional>

#include "imap/arguments.h"
#include "store/types.h"

namespace mail::imapd {
class Session;

struct Resync {
  store::UidValidity uid_validity{};
  store::ModSeq modseq{};
  std::optional<imap::SequenceSet> known_uids;
  std::optional<imap::SequenceSet> match_numbers, match_uids;
};
/// `(67890007 90060115194045000 41:211,214:541 (1:29 41:69))`
Result<Resync> take_resync(imap::Arguments& arguments);
/// VANISHED (EARLIER) and the FETCH responses of what changed since.
void answer_resync(Session& session, const Resync& resync);
store::UidSet to_uid_set(const imap::NumberSet& numbers);

}  // namespace mail::imapd
