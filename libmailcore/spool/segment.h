// A journal segment: a file of fixed size whose blocks exist already, so that one fdatasync makes a whole batch of
// records durable without touching the file system's own journal. Internal to spool/; layout in spool(5).
//
// A segment is a run of batches, each at a multiple of 4096 octets: a block that was synced is never written again, so
// a torn write cannot hurt what was acknowledged. A batch is a run of records; a record whose generation is not the
// file name's is a left-over of the file's last life.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spool/spool.h"

namespace mail::spool {

inline constexpr std::uint64_t kBlock = 4096;
inline constexpr std::string_view kSegmentPrefix = "segment.";
inline constexpr std::string_view kFreePrefix = "free.";

/// `PREFIX` and ten digits, and back.
std::string numbered(std::string_view prefix, std::uint32_t number);
std::optional<std::uint32_t> number_of(std::string_view prefix, std::string_view name);

/// One destination of a record.
struct RecordEntry {
  Box box = Box::queue;
  MessageId id;
  std::string_view header;  ///< First line and envelope.
};
/// A transaction: its entries and, unless it is `promoted` from tmp, their common content.
struct Record {
  bool promoted = false;
  bool aborted =
      false;  ///< Takes an earlier record of the same id back: its file could not be written and nobody got a 250.
  std::vector<RecordEntry> entries;
  std::string_view content;
};

/// Appends the record's octets for a segment of that generation.
void append_record(std::string& to, std::uint32_t generation, const Record& record);
std::uint64_t record_octets(const Record& record);

struct SegmentScan {
  std::size_t records = 0;
  bool torn = false;  ///< Ends in octets that are no record: a batch that was never acknowledged.
};
/// Gives each whole record of that generation to `take`, whose views last for the call.
Result<SegmentScan> scan_segment(std::string_view octets, std::uint32_t generation,
                                 const std::function<Status(const Record&)>& take);

/// What a message in a segment needs until the segment can be freed.
struct LiveMessage {
  MessageId id;
  Box box;
};

/// A segment being written, or waiting for its messages to be gone or synced.
class Segment {
 public:
  /// Takes a free segment's file (or makes one, filled with zeros), names it for `generation`, durably.
  static Result<std::unique_ptr<Segment>> prepare(Disk& disk, const Directory& journal, std::uint32_t generation,
                                                  std::uint64_t octets, std::string_view reuse);
  bool has_room(std::uint64_t octets) const { return offset_ + octets <= octets_; }
  /// Writes one batch and syncs it. After a failure the segment takes no more.
  Status write_batch(Disk& disk, std::string& batch);
  void close() { offset_ = octets_; }

  std::uint32_t generation() const { return generation_; }
  std::vector<LiveMessage> messages;
  /// Messages that have no name in their box yet: until then their absence does not mean that they were delivered.
  std::atomic<std::size_t> unnamed{0};
  /// A sync of its messages' files failed: it is kept until they are gone, and never taken for synced.
  bool stuck = false;

 private:
  Segment(UniqueFd file, std::uint32_t generation, std::uint64_t octets)
      : file_(std::move(file)), generation_(generation), octets_(octets) {}
  UniqueFd file_;
  std::uint32_t generation_;
  std::uint64_t octets_;
  std::uint64_t offset_ = 0;
};

/// The name of a message's file in tmp before it gets its place.
std::string temporary_name(std::string_view program, const MessageId& id, Box box);

}  // namespace mail::spool
