#include "imapd/message_limit.h"

#include "base/strings.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"

namespace mail::imapd {

Limited limited(const Session& session, store::UidSet uids) {
  const auto limit = session.environment().settings.imap.message_limit;
  if (limit == 0 || uids.count() <= limit) return {std::move(uids), {}};
  auto newest = partial_of(uids, {-1, -static_cast<std::int64_t>(limit)});
  auto code = concat({"[MESSAGELIMIT ", decimal(limit), " ", decimal(store::number(lowest(newest))), "] "});
  return {std::move(newest), std::move(code)};
}

std::string over_limit(const Session& session, const store::UidSet& uids) {
  const auto part = limited(session, uids);
  return part.code.empty() ? std::string() : part.code + "Too many messages, try a smaller set";
}

}  // namespace mail::imapd
