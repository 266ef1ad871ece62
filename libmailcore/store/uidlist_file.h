// dovecot-uidlist on disk: read whole, appended to, rewritten; always under Dovecot's dotlock when it is written.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/disk.h"
#include "store/record.h"
#include "store/uidlist.h"

namespace mail::store {

/// Fills the list_* fields of a stamp: zeros where there is no list.
/// @param locked  the caller holds the list's lock: over NFS what this host remembers of the file is asked for anew
void stamp_uidlist(const Directory& mailbox, Stamp& stamp, bool locked);
bool same_list(const Stamp& a, const Stamp& b);
bool same_directories(const Stamp& a, const Stamp& b);

/// What was appended to the list that `known` describes, or nothing where it is another list now.
std::optional<std::string> read_uidlist_rest(Disk& disk, const Directory& mailbox, const Stamp& known);
/// The text of dovecot-uidlist, or of courierimapuiddb where `courier`; not_found where there is none.
Result<std::string> read_uidlist(Disk& disk, const Directory& mailbox, bool courier = false);
/// Appends lines and makes them durable. A torn last line of a writer that died is cut off first.
Status append_uidlist(Disk& disk, const Directory& mailbox, std::string_view lines, bool flush);
/// Writes the whole list anew: temporary file, flush, rename.
Status write_uidlist(Disk& disk, const Directory& mailbox, std::string_view text, bool flush);

/// The header of the list only: cheap.
Result<UidlistHeader> read_uidlist_header(Disk& disk, const Directory& mailbox);

std::vector<std::string> read_keywords(Disk& disk, const Directory& mailbox);
/// Under the dotlock `dovecot-keywords.lock`, in which the file was read.
Status write_keywords(Disk& disk, const Directory& mailbox, const std::vector<std::string>& names);

/// Writes `name` anew by `name.tmp`, flush and rename: for the small text files of a mailbox.
Status replace_file(Disk& disk, const Directory& directory, const std::string& name, std::string_view text,
                    bool flush = true);

}  // namespace mail::store
