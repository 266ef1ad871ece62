// Puts messages into the spool. Thread-safe; one Writer per process. Small messages of all threads share their flushes
// (spool/journal.h); a large one is synced as a file, several in parallel.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spool/envelope.h"
#include "spool/spool.h"

namespace mail::spool {

/// Where one envelope of a transaction goes: Box::queue or Box::local (relay also: Box::hold).
struct Entry {
  Box box = Box::queue;
  Envelope envelope;
};

/// Told once when the message is durable and in its boxes, or has failed; on any thread, possibly inside commit(). A
/// failure (temporary: full disk, no descriptors, failed sync) means that nothing of the message is in the spool. Must
/// not block.
using CommitDone = std::function<void(Status)>;

struct WriterOptions {
  std::uint64_t small_message_octets = kSmallMessageOctets;
  std::uint64_t segment_octets = kSegmentOctets;
  unsigned most_segments = 8;  ///< Above: messages wait until a segment has been recycled.
  unsigned sync_threads = 4;   ///< For large messages.
};

class WriterCore;

/// One message on its way into the spool. Dropping it without commit() leaves nothing behind.
class Incoming {
 public:
  ~Incoming();
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  /// Appends content octets (header, CRLF, body; lines end in CRLF). A failure is remembered and reported by commit().
  void append(std::string_view octets);
  std::uint64_t octets() const { return octets_; }
  /// Empty while all is well: lets a server stop reading early.
  const Status& status() const { return status_; }
  /// Replaces the envelopes (a filter added recipients). Costs a copy of a message that is large already.
  void set_entries(std::vector<Entry> entries);
  /// Durable in all its boxes, or in none: the entries of one transaction share one journal record.
  /// @param durable  told before `done`: the message is durable or has failed. Its files get their names in the boxes a
  ///   moment later. Where a name cannot be given the writer tries again, and `done` waits; at its end it leaves the
  ///   message to the journal, and `done` is not told. For those who answer somebody that waits.
  static void commit(std::unique_ptr<Incoming> message, CommitDone done, CommitDone durable = {});

 private:
  friend class Writer;
  friend class WriterCore;
  struct Large;  // a message that has outgrown memory: its file in tmp and the running hash
  Incoming(WriterCore& core, std::vector<Entry> entries);
  void write_large(std::string_view octets);
  void spill();
  static void commit_small(std::unique_ptr<Incoming> message, CommitDone done, CommitDone durable);
  static void commit_large(std::unique_ptr<Incoming> message, CommitDone done, CommitDone durable);

  WriterCore& core_;
  std::vector<Entry> entries_;
  std::size_t header_octets_ = 0;
  std::string image_;  // while small: the first entry's file as it will be, its first line still blank
  std::unique_ptr<Large> large_;
  std::uint64_t octets_ = 0;
  Status status_;
};

class Writer {
 public:
  /// Recovers what an earlier process of this program left in its journal (spool/journal.h), then takes messages.
  /// @param program  names the journal: `serve`, `relay`, `mda`. A second process of the same program is `refused`:
  /// "another … is using …".
  static Result<std::unique_ptr<Writer>> open(const Spool& spool, std::string_view program, WriterOptions options = {});
  /// Waits for all commits under way, then syncs what is still in the journal as files: the next start has nothing to
  /// recover.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// All entries carry one id (MessageId::generate()), one per box.
  std::unique_ptr<Incoming> begin(std::vector<Entry> entries);
  /// begin, append, commit, and wait: for callers with a thread to spare.
  Status put(std::vector<Entry> entries, std::string_view content);

 private:
  explicit Writer(std::unique_ptr<WriterCore> core);
  std::unique_ptr<WriterCore> core_;
};

}  // namespace mail::spool
