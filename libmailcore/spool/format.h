// What spool(5) says of names, modes and limits. Change both or neither.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace mail::spool {

inline constexpr int kVersion = 1;  // in the first line of every spool file

/// The directories below SPOOL. A message's file is named by its id, and what happened on failed attempts is in
/// `ID.log` beside it.
enum class Box : unsigned char {
  drop,   ///< Anyone may put a message here, nobody may read it: the file's owner is the sender's identity. `mta relay`
          ///< takes it in.
  queue,  ///< For `mta relay`.
  local,  ///< For `mda`.
  hold,   ///< Set aside by an operator; nobody works on it.
  corrupt,  ///< Checksum failed: never delivered, never deleted.
  tmp,      ///< Being written; swept at start.
  journal,  ///< One directory per program: segments with messages not yet synced as files, and what is done.
};
inline constexpr std::array<std::string_view, 7> kBoxNames{"drop",    "queue", "local",  "hold",
                                                           "corrupt", "tmp",   "journal"};
constexpr std::string_view name_of(Box box) { return kBoxNames[static_cast<std::size_t>(box)]; }

inline constexpr unsigned kDropMode =
    03733;  // sticky: none removes another's file; setgid: files get the spool's group
inline constexpr unsigned kBoxMode = 0700;
inline constexpr std::string_view kLogSuffix = ".log";

/// The first line has a fixed width: `relais-spool V EEEEEEEE CCCCCCCCCCCC XXXXXXXXXXXXXXXX YYYYYYYYYYYYYYYY\n`:
/// version, octets of the envelope (all after this line up to and with the empty line), octets of the content, XXH3-64
/// of the envelope (its mutable octets read as '-') and of the content.
inline constexpr std::string_view kMagic = "relais-spool ";
inline constexpr std::size_t kFirstLineOctets = 13 + 2 + 9 + 13 + 17 + 17;
/// The second line is overwritten in place: `retry 0000000000000 00000\n`: when to try next (seconds, 0 = at once) and
/// attempts made.
inline constexpr std::size_t kRetryLineOctets = 6 + 14 + 6;

inline constexpr std::uint64_t kMaxEnvelopeOctets = 64U << 20;  // 100,000 recipients of 600 octets
/// Messages up to this size go through the journal; larger ones are synced as files.
inline constexpr std::uint64_t kSmallMessageOctets = 256U << 10;
inline constexpr std::uint64_t kSegmentOctets = 32U << 20;

}  // namespace mail::spool
