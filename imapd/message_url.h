// What a URL names (RFC 5092), as octets: for CATENATE and URLFETCH.
#pragma once
#include "imap/url.h"
#include "imapd/body_octets.h"
#include "store/account.h"
#include "store/mailbox.h"

namespace mail::imapd {

class Session;

/// [disk] The mailbox, open to be read, of `url` in `account`. not_found: no such mailbox, or its UIDVALIDITY is
/// another one.
Result<std::shared_ptr<store::View>> open_url_mailbox(const Session& session, store::Account& account,
                                                      const imap::MessageUrl& url);
/// [disk] The same of what the session's user may read, by the names that mailboxes have for him.
Result<std::shared_ptr<store::View>> open_readable_url_mailbox(Session& session, const imap::MessageUrl& url);
/// [disk] The octets that `url` names, its PARTIAL applied. not_found: no such message or part.
Result<BodyOctets> open_url_body(store::View& view, const imap::MessageUrl& url);

}  // namespace mail::imapd
