// What one look of a mailbox at its directories gathers (mailbox_scan.cpp, mailbox_uids.cpp).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "store/mailbox_core.h"

namespace mail::store {

struct Mailbox::Found {
  std::string name;
  bool in_new = false;
};

struct Mailbox::Pass {
  Stamp now;                   ///< Looked at before the first listing.
  bool quiet = false;          ///< The directories had not changed for a while then.
  bool all = false;            ///< `cur` is listed, not only `new`.
  ModSeq modseq{};             ///< Of all that is found.
  std::vector<bool> seen;      ///< By row: its file is there.
  std::vector<Found> unknown;  ///< Files that no row has.
  std::vector<Record> records;
  std::int64_t octets = 0, messages = 0;  ///< What came less what went, for the quota.
};

/// The end of the uid list, and what is to be done with it.
struct Mailbox::ListTail {
  std::string text;                   ///< The entries point into it.
  std::vector<UidlistEntry> entries;  ///< Above the image's last UID.
  Uid next{};                         ///< The first UID that nobody has.
  bool whole = false;                 ///< The list is missing or damaged: it is written anew.
};

}  // namespace mail::store
