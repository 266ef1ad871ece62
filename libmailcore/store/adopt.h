// A Maildir folder of another server taken over as it is: its clients see the UIDs that they know.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/disk.h"
#include "store/account_impl.h"
#include "store/maintenance.h"

namespace mail::store {

/// A message file of a Maildir folder that is not ours.
struct ForeignFile {
  std::string part;  ///< cur or new
  std::string name;
};
/// Those of cur and new, oldest first.
Result<std::vector<ForeignFile>> foreign_files(const Directory& folder);

struct ForeignMessage {
  std::string octets;
  std::int64_t date = 0;  ///< The file's time: what IMAP calls INTERNALDATE.
};
/// Error: it is no regular file, or cannot be read; the text names it.
Result<ForeignMessage> read_foreign(const Directory& folder, const ForeignFile& file);

void add(ImportReport& to, const ImportReport& more);

/// Copies the folder at `path` into the mailbox, each file under its own name, with UIDVALIDITY, UIDs and keyword
/// letters of its uid list (dovecot-uidlist or courierimapuiddb). All files are on disk before the first of them shows
/// and before the list is ours; an interrupted run is gone on with by the next one.
/// @param done  counts on, for `progress`
/// @return false, with nothing changed, where that cannot be: the folder has no list, or the mailbox holds or held
///         messages of its own. A mailbox that was taken over from the same folder before takes what is new there.
Result<bool> adopt_folder(AccountImpl& account, std::string_view mailbox, const std::string& path,
                          const Progress& progress, std::uint64_t& done, ImportReport& report);

}  // namespace mail::store
