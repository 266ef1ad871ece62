// The done journal of mda and relay: what has been finished, so that a message that comes back from a writer's journal
// after a power cut is not delivered again. Noting is a write, one flush is shared by all notes of a batch.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "spool/envelope.h"
#include "spool/spool.h"

namespace mail::spool {

inline constexpr std::uint32_t kWholeMessage = UINT32_MAX;
inline constexpr std::uint64_t kDoneFileOctets = 4U << 20;  // some 100,000 notes; then the next file

class DoneJournal {
 public:
  /// Applies what an earlier process noted to files that came back with a power cut, drops notes that no journal needs
  /// any more.
  /// @param program  `mda` or `relay` (`queue` for the operator's commands); a second process is `refused`.
  static Result<std::unique_ptr<DoneJournal>> open(const Spool& spool, std::string_view program,
                                                   std::uint64_t file_octets = kDoneFileOctets);
  virtual ~DoneJournal() = default;

  /// Notes that a recipient (by its position) or the whole message is done; in drop, `recipient` is the file's
  /// fingerprint (drop.h). Thread-safe; not durable before sync(). Note before remove(). Where the note is lost to a
  /// power cut, the message comes back: a duplicate in the window of RFC 1047, never a loss. So removing need not wait
  /// for sync(); a background thread syncs within 50 ms of a note.
  virtual Status note(Box box, const MessageId& id, std::uint32_t recipient = kWholeMessage,
                      RecipientState state = RecipientState::delivered) = 0;
  /// Makes all notes so far durable.
  virtual Status sync() = 0;
};

}  // namespace mail::spool
