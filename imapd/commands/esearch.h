// The ESEARCH response (RFC 4731, 5267, 9394): of SEARCH, where the order is by number, and of SORT.
#pragma once
#include <cstdint>
#include <vector>

#include "imap/number_set.h"
#include "imap/search_program.h"

namespace mail::imapd {

class Session;

struct Esearch {
  imap::ReturnOptions options;
  imap::NumberSet numbers;
  const std::vector<std::uint32_t>* order = nullptr;  ///< SORT: as sorted, instead of `numbers`.
  std::uint64_t modseq = 0;
  imap::NumberSet partial{};
  std::vector<std::uint32_t> partial_order{};
};
void send_esearch(Session& session, const Esearch& answer);

}  // namespace mail::imapd
