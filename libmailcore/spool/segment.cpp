#include "spool/segment.h"

#include <fcntl.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/strings.h"

namespace mail::spool {

namespace {

constexpr std::uint32_t kRecordMagic = 0x314a4c52;  // "RLJ1", little-endian
constexpr std::uint32_t kPromoted = 1;
constexpr std::uint32_t kAborted = 2;

struct RecordHeader {
  std::uint32_t magic;
  std::uint32_t generation;
  std::uint64_t payload_octets;
  std::uint32_t flags;
  std::uint32_t entries;
  std::uint64_t hash;  // XXH3-64 of the payload, seeded with the other fields
};
static_assert(sizeof(RecordHeader) == 32);

struct EntryHeader {
  char id[MessageId::kLength];
  std::uint32_t box;
  std::uint32_t header_octets;
};
static_assert(sizeof(EntryHeader) == 24);

std::uint64_t seed_of(const RecordHeader& h) {
  RecordHeader copy = h;
  copy.hash = 0;
  return XXH3_64bits(&copy, sizeof copy);
}

std::uint64_t payload_octets(const Record& record) {
  std::uint64_t octets = record.content.size();
  for (const auto& entry : record.entries) octets += sizeof(EntryHeader) + entry.header.size();
  return octets;
}

/// Takes a record apart; false where its inside contradicts itself.
bool parse_payload(const RecordHeader& header, std::string_view payload, Record& record) {
  record.promoted = (header.flags & kPromoted) != 0;
  record.aborted = (header.flags & kAborted) != 0;
  for (std::uint32_t i = 0; i < header.entries; ++i) {
    if (payload.size() < sizeof(EntryHeader)) return false;
    EntryHeader entry{};
    std::memcpy(&entry, payload.data(), sizeof entry);
    payload.remove_prefix(sizeof entry);
    const auto id = MessageId::parse({entry.id, sizeof entry.id});
    if (!id || entry.box >= kBoxNames.size() || entry.header_octets > payload.size()) return false;
    record.entries.push_back({static_cast<Box>(entry.box), *id, payload.substr(0, entry.header_octets)});
    payload.remove_prefix(entry.header_octets);
  }
  record.content = payload;
  return true;
}

Status fill_with_zeros(Disk& disk, int file, std::uint64_t octets) {
  MAIL_CHECK(disk.allocate(file, 0, octets));  // says ENOSPC before anything is written
  const std::string zeros(std::min<std::uint64_t>(octets, 1U << 20), '\0');
  for (std::uint64_t at = 0; at < octets; at += zeros.size())
    MAIL_CHECK(
        disk.pwrite(file, std::string_view(zeros).substr(0, std::min<std::uint64_t>(zeros.size(), octets - at)), at));
  return {};
}

}  // namespace

std::string numbered(std::string_view prefix, std::uint32_t number) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "%010u", number);
  return concat({prefix, digits});
}

std::optional<std::uint32_t> number_of(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix) || name.size() != prefix.size() + 10) return std::nullopt;
  return parse_decimal<std::uint32_t>(name.substr(prefix.size()));
}

std::string temporary_name(std::string_view program, const MessageId& id, Box box) {
  return concat({program, ".", id.text(), ".", name_of(box)});
}

std::uint64_t record_octets(const Record& record) { return sizeof(RecordHeader) + payload_octets(record); }

void append_record(std::string& to, std::uint32_t generation, const Record& record) {
  RecordHeader header{};
  header.magic = kRecordMagic;
  header.generation = generation;
  header.payload_octets = payload_octets(record);
  header.flags = (record.promoted ? kPromoted : 0) | (record.aborted ? kAborted : 0);
  header.entries = static_cast<std::uint32_t>(record.entries.size());
  const auto start = to.size();
  to.append(sizeof header, '\0');
  for (const auto& entry : record.entries) {
    EntryHeader e{};
    std::memcpy(e.id, entry.id.text().data(), sizeof e.id);
    e.box = static_cast<std::uint32_t>(entry.box);
    e.header_octets = static_cast<std::uint32_t>(entry.header.size());
    to.append(reinterpret_cast<const char*>(&e), sizeof e).append(entry.header);
  }
  to.append(record.content);
  const auto payload = std::string_view(to).substr(start + sizeof header);
  header.hash = XXH3_64bits_withSeed(payload.data(), payload.size(), seed_of(header));
  std::memcpy(to.data() + start, &header, sizeof header);
}

Result<SegmentScan> scan_segment(std::string_view octets, std::uint32_t generation,
                                 const std::function<Status(const Record&)>& take) {
  SegmentScan scan;
  std::uint64_t at = 0;
  while (at + sizeof(RecordHeader) <= octets.size()) {
    RecordHeader header{};
    std::memcpy(&header, octets.data() + at, sizeof header);
    const bool looks_like_one = header.magic == kRecordMagic && header.generation == generation;
    const auto room = octets.size() - at - sizeof header;
    Record record;
    bool whole = false;
    if (looks_like_one && header.payload_octets <= room) {
      const auto payload = octets.substr(at + sizeof header, header.payload_octets);
      whole = XXH3_64bits_withSeed(payload.data(), payload.size(), seed_of(header)) == header.hash &&
              parse_payload(header, payload, record);
    }
    if (whole) {
      ++scan.records;
      MAIL_CHECK(take(record));
      at += sizeof header + header.payload_octets;
      continue;
    }
    if (looks_like_one) scan.torn = true;
    if (at % kBlock == 0) break;
    at = (at + kBlock - 1) / kBlock * kBlock;  // the end of a batch
  }
  return scan;
}

Result<std::unique_ptr<Segment>> Segment::prepare(Disk& disk, const Directory& journal, std::uint32_t generation,
                                                  std::uint64_t octets, std::string_view reuse) {
  const auto name = numbered(kSegmentPrefix, generation);
  if (!reuse.empty()) {
    auto file = disk.open(journal, std::string(reuse), O_RDWR);
    struct stat found {};
    if (file && ::fstat(file->get(), &found) == 0 && static_cast<std::uint64_t>(found.st_size) == octets) {
      MAIL_CHECK(disk.rename(journal, std::string(reuse), journal, name));
      MAIL_CHECK(disk.sync_directory(journal));
      return std::unique_ptr<Segment>(new Segment(std::move(*file), generation, octets));
    }
    (void)disk.unlink(journal, std::string(reuse));  // another size: the setting was changed
  }
  constexpr std::string_view kNew = "new";
  (void)disk.unlink(journal, std::string(kNew));
  MAIL_TRY(file, disk.open(journal, std::string(kNew), O_RDWR | O_CREAT | O_EXCL));
  auto filled = fill_with_zeros(disk, file.get(), octets);
  if (filled) filled = disk.sync(file.get());
  if (filled) filled = disk.rename(journal, std::string(kNew), journal, name);
  if (filled) filled = disk.sync_directory(journal);
  if (!filled) {
    (void)disk.unlink(journal, std::string(kNew));
    return tl::unexpected(filled.error());
  }
  return std::unique_ptr<Segment>(new Segment(std::move(file), generation, octets));
}

Status Segment::write_batch(Disk& disk, std::string& batch) {
  batch.resize((batch.size() + kBlock - 1) / kBlock * kBlock, '\0');
  auto written = disk.pwrite(file_.get(), batch, offset_);
  if (written) written = disk.sync_data(file_.get());
  if (!written) {
    // Nothing of this batch is acknowledged. Its first block is made unreadable, so that a later recovery is not likely
    // to bring it back.
    (void)disk.pwrite(file_.get(), std::string(kBlock, '\0'), offset_);
    close();
    return written;
  }
  offset_ += batch.size();
  return {};
}

}  // namespace mail::spool
