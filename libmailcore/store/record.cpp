#include "store/record.h"

#include <xxhash.h>

#include "base/overloaded.h"
#include "store/octets.h"

namespace mail::store {

namespace {

// A record is: u32 length of the payload, u32 checksum of it, payload (u8 type, fields).
constexpr std::size_t kHead = 8;

std::uint32_t checksum(std::string_view octets) {
  return static_cast<std::uint32_t>(XXH3_64bits(octets.data(), octets.size()));
}

void put_uids(std::string& to, const UidSet& uids) {
  put(to, static_cast<std::uint32_t>(uids.ranges().size()));
  for (const auto& range : uids.ranges()) put(to, range);
}

UidSet get_uids(Reader& in) {
  std::vector<UidRange> ranges;
  const auto count = in.count(sizeof(UidRange));
  ranges.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) ranges.push_back(in.get<UidRange>());
  return UidSet(std::move(ranges));
}

void put_row(std::string& to, const AddedRow& row) {
  put(to, row.uid);
  put(to, row.flags);
  put(to, row.in_new);
  put(to, row.keywords);
  put(to, row.internal_date);
  put(to, row.save_date);
  put(to, row.file_octets);
  put(to, row.wire_octets);
  put(to, row.summary);
  put(to, row.filter);
  put_text(to, row.base);
  put_text(to, row.odd_name);
}

AddedRow get_row(Reader& in) {
  AddedRow row;
  row.uid = in.get<Uid>();
  row.flags = in.get<Flags>();
  row.in_new = in.get<std::uint8_t>() != 0;
  row.keywords = in.get<KeywordBits>();
  row.internal_date = in.get<std::int64_t>();
  row.save_date = in.get<std::int64_t>();
  row.file_octets = in.get<std::uint64_t>();
  row.wire_octets = in.get<std::uint64_t>();
  row.summary = in.get<std::uint64_t>();
  row.filter = in.get<std::uint64_t>();
  row.base = std::string(in.text());
  row.odd_name = std::string(in.text());
  return row;
}

std::optional<Record> decode(std::string_view payload) {
  Reader in(payload);
  std::optional<Record> out;
  switch (in.get<std::uint8_t>()) {
    case 0: {
      record::Added r{in.get<ModSeq>(), {}};
      const auto count = in.count(50);
      r.rows.reserve(count);
      for (std::uint32_t i = 0; i < count && in.ok(); ++i) r.rows.push_back(get_row(in));
      out = std::move(r);
      break;
    }
    case 1: {
      record::FlagsChanged r;
      r.modseq = in.get<ModSeq>();
      const auto how = in.get<std::uint8_t>();
      if (how > 2) return std::nullopt;
      r.how = static_cast<FlagChange::How>(how);
      r.flags = in.get<Flags>();
      r.keywords = in.get<KeywordBits>();
      r.on_disk = in.get<std::uint8_t>() != 0;
      r.uids = get_uids(in);
      out = std::move(r);
      break;
    }
    case 2: {
      record::Expunged r;
      r.modseq = in.get<ModSeq>();
      r.unlink = in.get<std::uint8_t>() != 0;
      r.uids = get_uids(in);
      out = std::move(r);
      break;
    }
    case 3: {
      record::Keyword r{in.get<std::uint8_t>(), std::string(in.text())};
      if (r.bit >= kKeywordsMost) return std::nullopt;
      out = std::move(r);
      break;
    }
    case 4:
      out = record::Written{get_uids(in)};
      break;
    case 5: {
      record::Known r;
      const auto count = in.count(28);
      r.rows.reserve(count);
      for (std::uint32_t i = 0; i < count; ++i) {
        record::Known::Row row;
        row.uid = in.get<Uid>();
        row.file_octets = in.get<std::uint64_t>();
        row.wire_octets = in.get<std::uint64_t>();
        row.summary = in.get<std::uint64_t>();
        r.rows.push_back(row);
      }
      out = std::move(r);
      break;
    }
    case 6:
      out = record::Buried{in.get<std::uint32_t>()};
      break;
    case 7: {
      const auto next = in.get<Uid>();
      out = record::Numbers{next, in.get<Uid>()};
      break;
    }
    case 8:
      out = record::Stamped{in.get<Stamp>()};
      break;
    case 9: {
      const auto uid = in.get<Uid>();
      out = record::Odd{uid, std::string(in.text())};
      break;
    }
    case 10:
      out = record::Durable{in.get<Uid>()};
      break;
    case 11: {
      record::Filters r;
      const auto count = in.count(12);
      r.rows.reserve(count);
      for (std::uint32_t i = 0; i < count; ++i) {
        const auto uid = in.get<Uid>();
        r.rows.push_back({uid, in.get<std::uint64_t>()});
      }
      out = std::move(r);
      break;
    }
    default:
      return std::nullopt;
  }
  if (!in.ok() || !in.rest().empty()) return std::nullopt;
  return out;
}

void encode(std::string& to, const Record& record) {
  put(to, static_cast<std::uint8_t>(record.index()));
  std::visit(overloaded{
                 [&](const record::Added& r) {
                   put(to, r.modseq);
                   put(to, static_cast<std::uint32_t>(r.rows.size()));
                   for (const auto& row : r.rows) put_row(to, row);
                 },
                 [&](const record::FlagsChanged& r) {
                   put(to, r.modseq);
                   put(to, static_cast<std::uint8_t>(r.how));
                   put(to, r.flags);
                   put(to, r.keywords);
                   put(to, r.on_disk);
                   put_uids(to, r.uids);
                 },
                 [&](const record::Expunged& r) {
                   put(to, r.modseq);
                   put(to, r.unlink);
                   put_uids(to, r.uids);
                 },
                 [&](const record::Keyword& r) {
                   put(to, r.bit);
                   put_text(to, r.name);
                 },
                 [&](const record::Written& r) { put_uids(to, r.uids); },
                 [&](const record::Known& r) {
                   put(to, static_cast<std::uint32_t>(r.rows.size()));
                   for (const auto& row : r.rows) {
                     put(to, row.uid);
                     put(to, row.file_octets);
                     put(to, row.wire_octets);
                     put(to, row.summary);
                   }
                 },
                 [&](const record::Buried& r) { put(to, r.count); },
                 [&](const record::Numbers& r) {
                   put(to, r.uid_next);
                   put(to, r.first_recent);
                 },
                 [&](const record::Stamped& r) { put(to, r.stamp); },
                 [&](const record::Durable& r) { put(to, r.uid); },
                 [&](const record::Filters& r) {
                   put(to, static_cast<std::uint32_t>(r.rows.size()));
                   for (const auto& row : r.rows) {
                     put(to, row.uid);
                     put(to, row.filter);
                   }
                 },
                 [&](const record::Odd& r) {
                   put(to, r.uid);
                   put_text(to, r.name);
                 },
             },
             record);
}

}  // namespace

void append_record(std::string& to, const Record& record) {
  const auto start = to.size();
  to.append(kHead, '\0');
  encode(to, record);
  const std::string_view payload(to.data() + start + kHead, to.size() - start - kHead);
  const auto length = static_cast<std::uint32_t>(payload.size());
  const auto check = checksum(payload);
  std::memcpy(to.data() + start, &length, 4);
  std::memcpy(to.data() + start + 4, &check, 4);
}

std::optional<Record> take_record(std::string_view& octets) {
  Reader head(octets);
  const auto length = head.get<std::uint32_t>();
  const auto check = head.get<std::uint32_t>();
  if (!head.ok() || length == 0 || length > head.rest().size()) return std::nullopt;
  const auto payload = head.rest().substr(0, length);
  if (checksum(payload) != check) return std::nullopt;
  auto out = decode(payload);
  if (out) octets.remove_prefix(kHead + length);
  return out;
}

}  // namespace mail::store
