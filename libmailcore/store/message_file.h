// The content of one message: the file, held open and mapped, and its octets with CRLF line ends as protocols send
// them.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace mail::store {

/// A message that can be read as long as this object lives, also when it is expunged meanwhile. [disk] unless in the
/// page cache.
class MessageFile {
 public:
  explicit MessageFile(std::string octets);  ///< For tests and for what is in memory already.
  /// Takes the descriptor of a regular file; small files are read, large ones mapped.
  static Result<std::shared_ptr<MessageFile>> open(UniqueFd fd);
  /// Where it has at most `most` octets and the kernel has them all in memory; else nothing. Never waits for the disk.
  static std::shared_ptr<MessageFile> from_cache(int fd, std::size_t most);
  MessageFile(const MessageFile&) = delete;
  MessageFile& operator=(const MessageFile&) = delete;
  ~MessageFile();

  /// As on disk: usually LF line ends.
  std::string_view raw() const { return raw_; }
  /// Length with CRLF line ends: every LF without CR before it counts two. Counted once, then remembered.
  std::uint64_t wire_octets() const;
  /// The whole with CRLF line ends.
  std::string wire() const;
  /// Appends at most `octets` of the CRLF form from `offset` on. Sequential pieces cost O(piece).
  void append_wire(std::string& to, std::uint64_t offset, std::uint64_t octets) const;

 private:
  MessageFile() = default;
  std::string owned_;
  std::unique_ptr<char[]> read_;
  std::string_view raw_;
  void* map_ = nullptr;
  std::size_t map_octets_ = 0;
  mutable std::uint64_t wire_octets_ = UINT64_MAX;
  // Where the last append_wire stopped, so that the next one need not count from the start.
  mutable std::uint64_t wire_at_ = 0;
  mutable std::size_t raw_at_ = 0;
  mutable bool half_line_end_ = false;  // Between the CR and the LF of a line end.
};

/// Appends `text` with every LF that has no CR before it as CRLF. `last` is the octet before `text` (0 at the start).
void append_crlf(std::string& to, std::string_view text, char last = 0);
/// Appends `text` with every CRLF as LF. A CR at the very end of a piece is held back in `pending_cr`.
void append_lf(std::string& to, std::string_view text, bool& pending_cr);

}  // namespace mail::store
