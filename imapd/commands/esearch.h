// The ESEARCH response (RFC 4731, 5267, 9394): of SEARCH, where the order is by number, and of SORT.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "imap/number_set.h"
#include "imap/search_program.h"
#include "imapd/command.h"
#include "store/mailbox.h"

namespace mail::imapd {

class Session;

struct Esearch {
  imap::ReturnOptions options;
  imap::NumberSet numbers;
  const std::vector<std::uint32_t>* order = nullptr;  ///< SORT: as sorted, instead of `numbers`.
  std::uint64_t modseq = 0;
  imap::NumberSet partial{};
  std::vector<std::uint32_t> partial_order{};
  const store::View* of = nullptr;  ///< ESEARCH (RFC 7377): numbers are UIDs, and the answer names the mailbox:
  std::string_view mailbox{};       ///< as the client has it.
};
void send_esearch(Session& session, const Esearch& answer);

/// The messages that are returned: of MIN, MAX and PARTIAL what they name, without any of them, and with COUNT, all
/// that was found. SAVE keeps them (RFC 5182 section 2.4, RFC 9394 section 3.2), and MODSEQ is theirs (RFC 4731
/// section 3.2).
store::UidSet returned(const imap::ReturnOptions& options, const store::UidSet& found);
/// A search with SAVE that is answered NO leaves nothing in `$` (RFC 5182 section 2.1).
void forget_saved(Session& session, const imap::ReturnOptions& options, const Completion& done);
bool only_saves(const imap::ReturnOptions& options);  ///< SAVE alone: nothing is answered.
bool asks_for_fuzziness(const imap::SearchKey& key);
/// The highest mod-sequence of the messages.
std::uint64_t highest_modseq(const store::View& view, const store::UidSet& found);

}  // namespace mail::imapd
