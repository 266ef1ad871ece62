// The snapshot file of a mailbox's index: index(5) has the layout.
#include <xxhash.h>

#include <algorithm>

#include "base/result.h"
#include "store/image.h"
#include "store/octets.h"

namespace mail::store {

namespace {

constexpr std::string_view kMagic = "RELAISX2";  // the digit is the version: any other is rebuilt
constexpr std::size_t kHead = 24;                // magic, length, checksum

}  // namespace

std::string Image::snapshot(std::uint64_t generation, std::uint64_t log_octets) const {
  std::string out;
  out.reserve(std::size_t{rows()} * 60 + names_.size() + 4096);
  out += kMagic;
  put(out, std::uint64_t{0});
  put(out, std::uint64_t{0});
  put(out, generation);
  put(out, log_octets);
  put(out, uid_validity);
  put(out, uid_next);
  put(out, first_recent);
  put(out, durable);
  put(out, std::uint32_t{0});
  put(out, modseq_highest);
  put(out, history_from);
  put(out, stamp);
  put_text(out, guid);

  const auto count = messages();
  put(out, count);
  const auto column = [&](const auto& values) {
    if (tombstones_->empty()) {
      out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]);
      return;
    }
    for (RowNumber row = 0; row < rows(); ++row)
      if (!tombstone(row)) put(out, values[row]);
  };
  column(uid_);
  column(flags_);
  column(state_);
  column(modseq_);
  column(keywords_.empty() ? std::vector<KeywordBits>(uid_.size()) : keywords_);
  column(internal_date_);
  column(save_date_);
  column(file_octets_);
  column(wire_octets_);
  column(summary_);
  put(out, static_cast<std::uint8_t>(filter_.empty() ? 0 : 1));
  if (!filter_.empty()) column(filter_);
  column(name_octets_);
  for (RowNumber row = 0; row < rows(); ++row)
    if (!tombstone(row)) out.append(names_, name_at_[row], name_octets_[row]);

  put(out, static_cast<std::uint32_t>(disk_flags_.size()));
  for (const auto& [uid, flags] : disk_flags_) put(out, uid), put(out, flags.flags), put(out, flags.keywords);
  put(out, static_cast<std::uint32_t>(odd_names_.size()));
  for (const auto& [uid, name] : odd_names_) put(out, uid), put_text(out, name);
  put(out, static_cast<std::uint32_t>(graves_.size()));
  for (const auto& grave : graves_) put(out, grave.in_new), put_text(out, grave.name);
  put(out, static_cast<std::uint32_t>(keyword_names_.size()));
  for (const auto& name : keyword_names_) put_text(out, name);
  put(out, static_cast<std::uint32_t>(history_.size()));
  for (const auto& gone : history_) put(out, gone);

  const auto length = static_cast<std::uint64_t>(out.size());
  const auto check = XXH3_64bits(out.data() + kHead, out.size() - kHead);
  std::memcpy(out.data() + 8, &length, 8);
  std::memcpy(out.data() + 16, &check, 8);
  return out;
}

Result<Image::Loaded> Image::parse(std::string_view octets) {
  const auto damaged = [] { return fail(Error::Kind::syntax, "the index is damaged or of another version"); };
  if (octets.size() < kHead || !octets.starts_with(kMagic)) return damaged();
  Reader head(octets.substr(8, 16));
  if (head.get<std::uint64_t>() != octets.size()) return damaged();
  if (head.get<std::uint64_t>() != XXH3_64bits(octets.data() + kHead, octets.size() - kHead)) return damaged();

  Reader in(octets.substr(kHead));
  Loaded loaded;
  auto& image = loaded.image;
  loaded.generation = in.get<std::uint64_t>();
  loaded.log_octets = in.get<std::uint64_t>();
  image.uid_validity = in.get<UidValidity>();
  image.uid_next = in.get<Uid>();
  image.first_recent = in.get<Uid>();
  image.durable = in.get<Uid>();
  in.get<std::uint32_t>();
  image.modseq_highest = in.get<ModSeq>();
  image.history_from = in.get<ModSeq>();
  image.stamp = in.get<Stamp>();
  image.guid = std::string(in.text());

  const auto count = in.count(50);
  const auto column = [&]<class T>(std::vector<T>& values) {
    values.resize(in.ok() && in.rest().size() / sizeof(T) >= count ? count : 0);
    const auto raw = in.take(std::size_t{count} * sizeof(T));
    if (!values.empty() && raw.size() == values.size() * sizeof(T)) std::memcpy(values.data(), raw.data(), raw.size());
  };
  column(image.uid_);
  column(image.flags_);
  column(image.state_);
  column(image.modseq_);
  column(image.keywords_);
  if (std::ranges::all_of(image.keywords_, [](KeywordBits bits) { return bits == 0; }))
    image.keywords_ = std::vector<KeywordBits>();
  column(image.internal_date_);
  column(image.save_date_);
  column(image.file_octets_);
  column(image.wire_octets_);
  column(image.summary_);
  if (in.get<std::uint8_t>() != 0) column(image.filter_);
  column(image.name_octets_);
  if (!in.ok()) return damaged();
  image.name_at_.resize(count);
  std::uint64_t at = 0;
  for (std::uint32_t row = 0; row < count; ++row) {
    image.name_at_[row] = static_cast<std::uint32_t>(at);
    at += image.name_octets_[row];
  }
  if (at > UINT32_MAX) return damaged();
  image.names_ = std::string(in.take(static_cast<std::size_t>(at)));

  for (auto n = in.count(13); n > 0 && in.ok(); --n) {
    const auto uid = in.get<Uid>();
    DiskFlags flags;
    flags.flags = in.get<Flags>();
    flags.keywords = in.get<KeywordBits>();
    image.disk_flags_.emplace_hint(image.disk_flags_.end(), uid, flags);
  }
  for (auto n = in.count(8); n > 0 && in.ok(); --n) {
    const auto uid = in.get<Uid>();
    image.odd_names_[uid] = std::string(in.text());
  }
  for (auto n = in.count(5); n > 0 && in.ok(); --n) {
    Grave grave;
    grave.in_new = in.get<std::uint8_t>() != 0;
    grave.name = std::string(in.text());
    image.graves_.push_back(std::move(grave));
  }
  for (auto n = in.count(4); n > 0 && in.ok(); --n) image.keyword_names_.emplace_back(in.text());
  if (image.keyword_names_.size() > kKeywordsMost) return damaged();
  image.note_keywords();
  for (auto n = in.count(sizeof(ExpungedRange)); n > 0 && in.ok(); --n)
    image.history_.push_back(in.get<ExpungedRange>());
  if (!in.ok() || !in.rest().empty()) return damaged();

  for (RowNumber row = 0; row < count; ++row) {
    if (row > 0 && image.uid_[row] <= image.uid_[row - 1]) return damaged();
    image.state_[row] &= static_cast<std::uint8_t>(~kTombstone);
    if (image.dirty(row)) image.dirty_rows_.push_back(row);
    image.account(row, 1);
  }
  return loaded;
}

std::size_t Image::memory_octets() const {
  const auto of = [](const auto& column) { return column.capacity() * sizeof column[0]; };
  return of(uid_) + of(flags_) + of(state_) + of(modseq_) + of(keywords_) + of(internal_date_) + of(save_date_) +
         of(file_octets_) + of(wire_octets_) + of(summary_) + of(name_at_) + of(name_octets_) + names_.capacity();
}

}  // namespace mail::store
