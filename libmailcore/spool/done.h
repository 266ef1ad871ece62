// The done journal of mda and relay: what has been finished, so that a message that comes back from a writer's journal
// after a power cut is not delivered again. Noting is a write, one flush is shared by all notes of a batch.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
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
  /// The same for many whole messages, in one write.
  virtual Status note_all(Box box, std::span<const MessageId> ids) = 0;
  /// Notes that whole messages stand where they belong, not durable yet: a process that dies now leaves them there, and
  /// the next one of this program need not bring back what a reader has taken away meanwhile. A machine that stops
  /// makes the notes void. Never synced for their own sake.
  virtual Status note_placed(Box box, std::span<const MessageId> ids) = 0;
  /// Whether an earlier process noted it so, the machine has run since, and it is not done.
  virtual bool was_placed(Box box, const MessageId& id) const = 0;
  /// A number that grows with each note; what durable() has reached is on the disk.
  virtual std::uint64_t noted() const = 0;
  virtual std::uint64_t durable() const = 0;
  /// Makes all notes so far durable.
  virtual Status sync() = 0;
};

}  // namespace mail::spool
