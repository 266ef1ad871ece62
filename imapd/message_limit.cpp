#include "imapd/message_limit.h"

#include "base/strings.h"
#include "imapd/search_evaluator.h"
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

Result<store::UidSet> messages_to_look_at(Session& session, const imap::SearchKey& key) {
  using Kind = imap::SearchKey::Kind;
  auto messages = everything(session.view());
  if (session.environment().settings.imap.message_limit == 0) return messages;
  const auto narrow = [&](const imap::SearchKey& one) -> Status {
    if (one.kind != Kind::sequence && one.kind != Kind::uid) return {};
    MAIL_TRY(named, session.messages_of(one.set, one.kind == Kind::uid, true));
    messages = intersection(messages, named);
    return {};
  };
  MAIL_CHECK(narrow(key));
  if (key.kind == Kind::all)
    for (const auto& child : key.children) MAIL_CHECK(narrow(child));
  return messages;
}

}  // namespace mail::imapd
