// dovecot-uidlist version 3, dovecot-keywords and courierimapuiddb as texts: read and written exactly as Dovecot 2.3
// does, so that either server serves the Maildir.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/types.h"

namespace mail::store {

inline constexpr std::string_view kUidlist = "dovecot-uidlist";
inline constexpr std::string_view kUidlistLock = "dovecot-uidlist.lock";
inline constexpr std::string_view kUidlistTemporary = "dovecot-uidlist.tmp";
inline constexpr std::string_view kKeywords = "dovecot-keywords";
inline constexpr std::string_view kCourierUids = "courierimapuiddb";

struct UidlistHeader {
  UidValidity uid_validity{};
  Uid uid_next{1};
  std::string guid;  ///< 32 hex digits; the mailbox's identity (OBJECTID). Empty in files of old versions.
  bool operator==(const UidlistHeader&) const = default;
};

struct UidlistEntry {
  Uid uid{};
  std::string_view extensions;  ///< " S123 W130" as written, kept when the file is rewritten.
  std::string_view base;        ///< File name without info.
};

/// The first line "3 V… N… G…" (versions 1 and 3). `line` is without LF.
Result<UidlistHeader> parse_uidlist_header(std::string_view line);
std::string format_uidlist_header(const UidlistHeader& header);
/// One further line, or nothing for a damaged one (they are skipped: the file is then a shorter list, and gets
/// rewritten).
std::optional<UidlistEntry> parse_uidlist_line(std::string_view line);
void append_uidlist_line(std::string& to, Uid uid, std::string_view extensions, std::string_view base);

struct Uidlist {
  UidlistHeader header;
  std::vector<UidlistEntry>
      entries;  ///< Ascending UIDs: what is not ascending or a repeated name is damage and left out.
  bool damaged = false;
};
/// The whole file; views point into `text`. Trailing octets without LF (an append in progress) are ignored.
Result<Uidlist> parse_uidlist(std::string_view text);
/// Further lines of a list: those that were appended since its beginning was read.
void parse_uidlist_lines(std::string_view lines, Uidlist& list);
/// Courier's list: "1 UIDVALIDITY UIDNEXT" and lines "UID BASE".
Result<Uidlist> parse_courier_uids(std::string_view text);

/// "0 Junk\n1 NonJunk\n": index is the letter (0 is a). Gaps are empty names; damaged lines are skipped.
std::vector<std::string> parse_keywords(std::string_view text);
std::string format_keywords(const std::vector<std::string>& names);

}  // namespace mail::store
