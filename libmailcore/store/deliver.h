// Delivery in batches, for mda: many messages to many mailboxes share their flushes; one message to several mailboxes
// of a file system is written once and linked.
#pragma once
#include <sys/types.h>

#include <map>
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
  /// With `repeated`: it is known to have been delivered (the machine has not been restarted since), so where it is not
  /// found its reader has moved or removed it, and it is not brought back.
  bool placed = false;
};
struct Delivery {
  std::string_view content;  ///< CRLF or LF.
  std::vector<DeliveryTarget> targets;
};
struct DeliveryOutcome {
  std::vector<Status>
      targets;  ///< In the order of Delivery::targets. refused with errno EDQUOT: over quota. temporary: try again.
};

/// Deliveries that are in their mailboxes and not durable yet. Whoever holds one keeps another durable copy meanwhile
/// (mda: the spool file).
class Unflushed {
 public:
  bool empty() const { return keys_.empty() && places_.empty(); }
  /// Adds what `other` holds.
  void merge(Unflushed&& other);

 private:
  friend class Run;
  friend Status flush(Store& store, const Unflushed& unflushed);
  struct File {
    std::shared_ptr<const Directory> directory;
    std::string name;
  };
  std::map<dev_t, std::shared_ptr<const Directory>> places_;  ///< One folder of each file system.
  std::vector<std::string> keys_;
  std::vector<File> files_;  ///< Written here; others were found.
};

/// [disk] Delivers all; each target succeeds or fails alone. A success is durable when this returns. The caller chooses
/// the batch (32 messages is good).
std::vector<DeliveryOutcome> deliver(Store& store, std::span<const Delivery> deliveries);
/// [disk] The same without the flush: readers see the messages at once, and flush() makes them durable. Many batches
/// then share one flush of the file system, which costs as much as the flush of one batch.
std::vector<DeliveryOutcome> deliver(Store& store, std::span<const Delivery> deliveries, Unflushed& unflushed);
/// [disk] After a failure all of it has to be delivered again, as `repeated`: what readers have not moved yet is
/// removed, for the kernel may have dropped its pages, and a second flush would not say so.
Status flush(Store& store, const Unflushed& unflushed);

}  // namespace mail::store
