// CATENATE (RFC 4469): a message of APPEND put together from literals and from what URLs name; PARTIAL in them (5550).
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "imap/arguments.h"
#include "imapd/command.h"
#include "store/account.h"

namespace mail::imapd {

class Session;

struct CatenatePart {
  std::string_view text;                         ///< TEXT: of the command; or
  std::shared_ptr<store::StagedMessage> staged;  ///< TEXT that was too large for memory; or
  std::string url;
};

/// `(TEXT {…} URL …)`, behind the word CATENATE and its space.
Result<std::vector<CatenatePart>> take_catenate(Session& session, imap::Arguments& arguments);
/// [disk] Writes the parts one after the other. Completion: why that cannot be.
tl::expected<std::shared_ptr<store::StagedMessage>, Completion> catenate(Session& session,
                                                                         const std::vector<CatenatePart>& parts);

}  // namespace mail::imapd
