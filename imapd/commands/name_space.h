// The NAMESPACE response, which LANGUAGE sends too.
#pragma once

namespace mail::imapd {
class Session;
/// `* NAMESPACE …`, with TRANSLATION in the session's language (RFC 5255 section 3.4).
void send_namespace(Session& session);
}  // namespace mail::imapd
