// What `mda mailbox …` does to mailboxes: import, export, check, repair, reindex. All may be interrupted at any point
// and run again: nothing is lost, nothing comes twice.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/account.h"

namespace mail::store {

/// Called from time to time with what is done and what there is to do (0: not known); returns false to stop.
using Progress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

struct ImportReport {
  std::uint64_t imported = 0;
  std::uint64_t there_already = 0;    ///< From an earlier, interrupted run.
  std::vector<std::string> new_uids;  ///< Mailboxes that could not take over the UIDs of a Maildir.
  std::vector<std::string> problems;  ///< What could not be read; the rest was imported.
};

/// Messages of an mbox file (mboxo, mboxrd: ">From " loses one '>'), with flags from Status, X-Status and X-Keywords.
Result<ImportReport> import_mbox(Account& account, std::string_view mailbox, const std::string& path,
                                 const Progress& progress);
/// Messages of one Maildir folder (cur and new), with flags, dates and keywords (dovecot-keywords), and with
/// UIDVALIDITY and UIDs (dovecot-uidlist, courierimapuiddb) where the mailbox has not had messages of its own. The
/// source is only read.
Result<ImportReport> import_maildir(Account& account, std::string_view mailbox, const std::string& path,
                                    const Progress& progress);
/// All folders of a Maildir++ tree (Dovecot, Courier, Relais) into mailboxes of the same names, and its subscriptions.
Result<ImportReport> import_account(Account& account, const std::string& path, const Progress& progress);

/// Writes the mailbox as mboxrd to `path` (by `path.part` and a rename: an interrupted export leaves the old file).
Result<std::uint64_t> export_mbox(Account& account, std::string_view mailbox, const std::string& path,
                                  const Progress& progress);
/// Writes the messages into the Maildir folder `path`; those there already are left.
Result<std::uint64_t> export_maildir(Account& account, std::string_view mailbox, const std::string& path,
                                     const Progress& progress);

struct CheckReport {
  std::uint64_t messages = 0;
  std::vector<std::string> problems;
  std::vector<std::string> repaired;  ///< With `repair`: what was done about them.
};
/// Compares index, uid list and files of a mailbox. `repair` makes the index anew, writes the uid list whole and
/// removes what was left in tmp for more than 36 hours. Mail and the UIDs that can be known are kept.
Result<CheckReport> check_mailbox(Account& account, std::string_view mailbox, bool repair);
/// Makes the summaries (ENVELOPE, BODYSTRUCTURE, search texts) of all messages that have none. Returns how many
/// messages there are.
Result<std::uint64_t> reindex(Account& account, std::string_view mailbox, const Progress& progress);

}  // namespace mail::store
