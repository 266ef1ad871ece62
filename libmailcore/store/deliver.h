// Delivery in batches, for mda: many messages to many mailboxes share their flushes; one message to several mailboxes
// of a file system is written once and linked.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/account.h"
#include "store/types.h"

namespace mail::store {

struct DeliveryTarget {
  std::shared_ptr<Account> account;
  std::string mailbox = "INBOX";  ///< Made where it is missing and `create` is set; else not_found.
  bool create = false;
  std::string
      prefix;  ///< Header lines for this target in front of the content (Return-Path, Delivered-To), with CRLF or LF.
  Flags flags = Flags::none;  ///< Sieve's imap4flags. With flags or keywords it goes to `cur` rather than `new`.
  std::vector<std::string> keywords;
  /// Idempotency: the same id delivered again into the same mailbox finds itself and does nothing (also where the
  /// reader moved it to cur and set flags). The spool's message id and the recipient's number, say. Letters, digits,
  /// '-' and '_'; empty: none.
  std::string id;
  /// The message may have been delivered before (by a process that died): the folder is searched for the id. What this
  /// process itself delivered is known without.
  bool repeated = false;
};
struct Delivery {
  std::string_view content;  ///< CRLF or LF.
  std::vector<DeliveryTarget> targets;
};
struct DeliveryOutcome {
  std::vector<Status>
      targets;  ///< In the order of Delivery::targets. refused with errno EDQUOT: over quota. temporary: try again.
};

/// [disk] Delivers all; each target succeeds or fails alone. A success is durable when this returns. The caller chooses
/// the batch (32 messages is good).
std::vector<DeliveryOutcome> deliver(Store& store, std::span<const Delivery> deliveries);

}  // namespace mail::store
