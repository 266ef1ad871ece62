// What LIST … RETURN (METADATA …) takes from the METADATA commands.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "imap/arguments.h"

namespace mail::imapd {

class Session;

struct MetadataRequest {
  std::vector<std::string> entries;
  std::uint64_t most = UINT64_MAX;  ///< Octets of a value.
  int depth = 0;                    ///< 0, 1, or -1: infinity
};
/// `(/shared/comment /private/comment)` with the options of GETMETADATA in front, where given (RFC 9590 section 3).
Result<MetadataRequest> take_list_metadata(imap::Arguments& arguments);
/// `* METADATA name (entry value …)`: all that were asked for, NIL where there is none. [disk]
void send_list_metadata(Session& session, std::string_view mailbox, const MetadataRequest& request);

}  // namespace mail::imapd
