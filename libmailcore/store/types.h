// The store's vocabulary: numbers that must not be mixed up, flags, sets of UIDs, and what is known of one message.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mail::store {

enum class Uid : std::uint32_t {
};  ///< Unique within a mailbox, strictly ascending; 0 is none (RFC 9051 section 2.3.1.1).
enum class UidValidity : std::uint32_t {};  ///< RFC 9051 section 2.3.1.1.
enum class ModSeq : std::uint64_t {
};  ///< 63 bits (RFC 7162 section 3.1); also the sequence number of a mailbox's changes.
enum class SequenceNumber : std::uint32_t {};  ///< 1.. within one session's view of a mailbox.

constexpr std::uint32_t number(Uid u) { return static_cast<std::uint32_t>(u); }
constexpr std::uint32_t number(UidValidity u) { return static_cast<std::uint32_t>(u); }
constexpr std::uint64_t number(ModSeq m) { return static_cast<std::uint64_t>(m); }
constexpr std::uint32_t number(SequenceNumber s) { return static_cast<std::uint32_t>(s); }

/// System flags as a set. \Recent belongs to a session's view, not to the message.
enum class Flags : std::uint8_t {
  none = 0,
  seen = 1,
  answered = 2,
  flagged = 4,
  deleted = 8,
  draft = 16,
  forwarded = 32
};
// `forwarded` is Maildir's P (passed); IMAP shows it as the keyword $Forwarded.
constexpr Flags operator|(Flags a, Flags b) { return static_cast<Flags>(static_cast<int>(a) | static_cast<int>(b)); }
constexpr Flags operator&(Flags a, Flags b) { return static_cast<Flags>(static_cast<int>(a) & static_cast<int>(b)); }
constexpr Flags operator~(Flags a) { return static_cast<Flags>(~static_cast<int>(a) & 63); }
constexpr bool has(Flags set, Flags flag) { return (set & flag) != Flags::none; }

/// Keywords of a message: bit n is the mailbox's keyword number n. The first 26 have a letter in file names
/// (dovecot-keywords).
using KeywordBits = std::uint64_t;
inline constexpr std::size_t kKeywordsMost = 64;  ///< More are refused (NO [LIMIT]): a keyword is for ever.

struct UidRange {
  Uid first{}, last{};  ///< Both included.
  bool operator==(const UidRange&) const = default;
};

/// A set of UIDs as sorted, disjoint, non-adjacent ranges.
class UidSet {
 public:
  UidSet() = default;
  explicit UidSet(std::vector<UidRange> ranges);  ///< In any order, overlapping allowed.
  static UidSet of(Uid uid) { return UidSet({{uid, uid}}); }
  /// Cheap where UIDs come in ascending order.
  void add(Uid uid) { add(uid, uid); }
  void add(Uid first, Uid last);
  bool contains(Uid uid) const;
  bool empty() const { return ranges_.empty(); }
  std::uint64_t count() const;
  const std::vector<UidRange>& ranges() const { return ranges_; }
  std::string text() const;  ///< "1:5,7" (RFC 9051 uid-set).
  template <class Function>
  void for_each(Function&& function) const {
    for (const auto& range : ranges_)
      for (std::uint64_t uid = number(range.first); uid <= number(range.last); ++uid) function(static_cast<Uid>(uid));
  }
  bool operator==(const UidSet&) const = default;

 private:
  std::vector<UidRange> ranges_;
};

/// Everything about one message that needs no look into its file.
struct MessageRow {
  Uid uid{};
  ModSeq modseq{};
  Flags flags = Flags::none;
  KeywordBits keywords = 0;
  std::int64_t internal_date = 0;  ///< Seconds since 1970, UTC (the file's mtime).
  std::int64_t save_date = 0;      ///< RFC 8514: when it came into this mailbox.
  std::uint64_t octets = 0;  ///< RFC822.SIZE: with CRLF line ends. 0 where not known yet (Reader::row completes it).
  bool recent = false;       ///< For this view.
};

}  // namespace mail::store
