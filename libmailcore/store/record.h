// The records of a mailbox's change log: everything that happens to a mailbox is one of these (index(5) has the
// octets). A batch of them is applied as one.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "store/mailbox.h"
#include "store/types.h"

namespace mail::store {

/// What the directories and the uid list looked like when the index last agreed with them.
struct Stamp {
  std::int64_t new_time = 0, cur_time = 0;  ///< mtime in nanoseconds.
  std::int64_t list_time = 0;               ///< dovecot-uidlist: mtime, size, inode.
  std::uint64_t list_octets = 0, list_inode = 0;
  bool operator==(const Stamp&) const = default;
};

struct AddedRow {
  Uid uid{};
  Flags flags = Flags::none;
  KeywordBits keywords = 0;
  bool in_new = false;  ///< The file is in `new` and has no info yet.
  std::int64_t internal_date = 0;
  std::int64_t save_date = 0;
  std::uint64_t file_octets = 0;
  std::uint64_t wire_octets = 0;  ///< 0: not known.
  std::uint64_t filter = 0;       ///< Where its search filter is; 0: none yet.
  std::uint64_t summary = 0;      ///< Where the summary is in the cache; 0: none yet.
  std::string base;               ///< With sizes, as in the file name.
  std::string odd_name;           ///< The whole file name where base and flags do not give it.
  bool operator==(const AddedRow&) const = default;
};

namespace record {
struct Added {
  ModSeq modseq{};
  std::vector<AddedRow> rows;  ///< Ascending UIDs, above all before.
  bool operator==(const Added&) const = default;
};
struct FlagsChanged {
  ModSeq modseq{};
  FlagChange::How how = FlagChange::How::add;
  Flags flags = Flags::none;
  KeywordBits keywords = 0;
  bool on_disk = false;  ///< Another program did it: the file names say so already.
  UidSet uids;
  bool operator==(const FlagsChanged&) const = default;
};
struct Expunged {
  ModSeq modseq{};
  bool unlink = true;  ///< The files are still to be removed.
  UidSet uids;
  bool operator==(const Expunged&) const = default;
};
struct Keyword {
  std::uint8_t bit = 0;
  std::string name;
  bool operator==(const Keyword&) const = default;
};
/// Flags reached the file names (and files their place in `cur`).
struct Written {
  UidSet uids;
  bool operator==(const Written&) const = default;
};
/// What reading the message told.
struct Known {
  struct Row {
    Uid uid{};
    std::uint64_t file_octets = 0, wire_octets = 0, summary = 0;
    bool operator==(const Row&) const = default;
  };
  std::vector<Row> rows;
  bool operator==(const Known&) const = default;
};
/// The first `count` files of those to be removed are gone.
struct Buried {
  std::uint32_t count = 0;
  bool operator==(const Buried&) const = default;
};
struct Numbers {
  Uid uid_next{};
  Uid first_recent{};  ///< The lowest UID that no session has had as \Recent.
  bool operator==(const Numbers&) const = default;
};
struct Stamped {
  Stamp stamp;
  bool operator==(const Stamped&) const = default;
};
/// A file's name that base and flags do not give (written by another program); kept until flags change.
struct Odd {
  Uid uid{};
  std::string name;
  bool operator==(const Odd&) const = default;
};
/// All messages up to this one are on the disk with their content; later ones are looked at when the mailbox is loaded.
struct Durable {
  Uid uid{};
  bool operator==(const Durable&) const = default;
};
/// Where the search filters of messages are.
struct Filters {
  struct Row {
    Uid uid{};
    std::uint64_t filter = 0;
    bool operator==(const Row&) const = default;
  };
  std::vector<Row> rows;
  bool operator==(const Filters&) const = default;
};
}  // namespace record

using Record =
    std::variant<record::Added, record::FlagsChanged, record::Expunged, record::Keyword, record::Written, record::Known,
                 record::Buried, record::Numbers, record::Stamped, record::Odd, record::Durable, record::Filters>;

/// Appends the record with its length and checksum.
void append_record(std::string& to, const Record& record);
/// Takes one record off `octets`. Nothing where it is not whole or its checksum is wrong: an append in progress, or the
/// torn end after a crash.
std::optional<Record> take_record(std::string_view& octets);

}  // namespace mail::store
