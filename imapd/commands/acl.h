// What LIST … RETURN (MYRIGHTS) takes from the ACL commands.
#pragma once
#include <string_view>

namespace mail::imapd {
class Session;
/// `* MYRIGHTS name rights` (RFC 8440 section 3); nothing where the user has none that may be told. [disk]
void send_my_rights(Session& session, std::string_view mailbox);
}  // namespace mail::imapd
