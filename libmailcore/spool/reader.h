// Reads a message of the spool, and marks how far its recipients are.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "spool/envelope.h"
#include "spool/spool.h"

namespace mail::spool {

/// An open spool file whose checksums matched. Whoever works on a box (mda on local, relay on queue) is its only
/// writer.
class StoredMessage {
 public:
  /// @return not_found where it is gone; syntax where it is damaged: the caller then calls set_aside().
  static Result<StoredMessage> open(const Spool& spool, Box box, const MessageId& id);
  StoredMessage(StoredMessage&&) noexcept;
  StoredMessage& operator=(StoredMessage&&) noexcept;
  ~StoredMessage();

  const Envelope& envelope() const { return envelope_; }
  /// Header, empty line and body with CRLF line ends, as received. Valid as long as this object.
  std::string_view content() const { return content_; }
  Box box() const { return box_; }
  std::uint64_t file_octets() const { return mapping_ != nullptr ? mapping_octets_ : buffer_.size(); }

  /// Overwrites the recipient's state octet, unsynced: the done journal makes it durable.
  Status set_state(std::size_t recipient, RecipientState state);
  /// Overwrites the `retry` line, unsynced: a lost time costs one early attempt.
  Status set_retry(WallTime next_attempt, std::uint32_t attempts);

 private:
  StoredMessage() = default;
  const Spool* spool_ = nullptr;
  Box box_ = Box::queue;
  Envelope envelope_;
  std::vector<std::uint32_t> state_offsets_;
  std::string_view content_;
  std::string buffer_;       // a small file, whole
  void* mapping_ = nullptr;  // a large one
  std::size_t mapping_octets_ = 0;
};

/// The envelope alone; the content's checksum is not looked at.
Result<Envelope> read_envelope(const Spool& spool, Box box, const MessageId& id);
/// As StoredMessage's, for one that is not held open.
Status set_state(const Spool& spool, Box box, const MessageId& id, std::size_t recipient, RecipientState state);
Status set_retry(const Spool& spool, Box box, const MessageId& id, WallTime next_attempt, std::uint32_t attempts);

/// Removes the file and its ID.log. Only after what it stood for is durable elsewhere (or noted in the done journal).
/// Gone already is success.
Status remove(const Spool& spool, Box box, const MessageId& id);
/// The ID.log alone; gone already is success.
Status remove_log(const Spool& spool, Box box, const MessageId& id);
/// Moves a message (and its ID.log) between boxes, durably. Refused where the target has that id.
Status move(const Spool& spool, Box from, Box to, const MessageId& id);
/// Moves a damaged file to corrupt, with a log line. Looks again after the move, and puts it back when it is whole
/// after all.
Status set_aside(const Spool& spool, Box box, const MessageId& id, std::string_view why);

/// Appends a line (no newline in it) to ID.log: `TIME recipient host status text`. Unsynced.
Status append_log(const Spool& spool, Box box, const MessageId& id, std::string_view line);
/// The lines of ID.log, empty where there is none.
std::string read_log(const Spool& spool, Box box, const MessageId& id);

/// The bytes of a spool file: first line, envelope, content.
std::string first_line(std::string_view envelope_text, std::uint64_t content_octets, std::uint64_t content_hash);
/// Whole file in memory → envelope and content; syntax where anything does not match.
struct ParsedFile {
  Envelope envelope;
  std::string_view envelope_text;
  std::string_view content;
};
Result<ParsedFile> parse_file(std::string_view octets);

}  // namespace mail::spool
