// Reading messages, and making what the index keeps of them.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/strings.h"
#include "message/header.h"
#include "message/imap_text.h"
#include "message/search_text.h"
#include "message/tree.h"
#include "store/mailbox_core.h"
#include "store/parallel.h"
#include "store/summary.h"
#include "store/summary_cache.h"
#include "store/text_index.h"

namespace mail::store {

std::optional<std::pair<const Directory*, std::string>> Mailbox::file_of(Uid uid) const {
  std::shared_lock lock(image_lock_);
  const auto row = image_.find(uid);
  if (!row || image_.tombstone(*row)) return std::nullopt;
  return std::pair(image_.in_new(*row) ? &new_ : &cur_, image_.file_name(*row));
}

Result<UniqueFd> Mailbox::open_file(Uid uid) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto file = file_of(uid);
    if (!file) return fail(Error::Kind::not_found, "the message is expunged");
    auto fd = context_->disk->open(*file->first, file->second, O_RDONLY | O_NONBLOCK);
    if (fd || fd.error().kind != Error::Kind::not_found) return fd;
    suspect_ = true;  // renamed by another program, or by our own writing behind while we looked
    if (attempt > 0) MAIL_CHECK(refresh());
  }
  return fail(Error::Kind::not_found, "the message's file is gone");
}

Result<std::shared_ptr<MessageFile>> Mailbox::open_message(Uid uid) {
  MAIL_TRY(fd, open_file(uid));
  return MessageFile::open(std::move(fd));
}

std::shared_ptr<MessageFile> Mailbox::cached_message(Uid uid, std::size_t most) {
  if (remote_) return nullptr;
  const auto file = file_of(uid);
  if (!file) return nullptr;
  open_how how{};
  how.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_CACHED;
  const UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, file->first->fd(), file->second.c_str(), &how, sizeof how)));
  return fd ? MessageFile::from_cache(fd.get(), most) : nullptr;
}

Status Mailbox::keep(record::Known known, const std::vector<std::string_view>& summaries, record::Filters filters,
                     const std::vector<std::string_view>& made) {
  std::vector<Record> records;
  if (!summaries.empty()) {
    MAIL_TRY(refs, place_.summaries->append(summaries));
    for (std::size_t i = 0; i < refs.size(); ++i) known.rows[i].summary = refs[i];
  }
  if (!known.rows.empty()) records.push_back(std::move(known));
  if (!made.empty()) {
    MAIL_TRY(refs, place_.texts->append(made));
    for (std::size_t i = 0; i < refs.size(); ++i) filters.rows[i].filter = refs[i];
    records.push_back(std::move(filters));
  }
  if (records.empty()) return {};
  MAIL_TRY(writing, begin());
  return applied(writing, Batch{std::move(records), {}, 0});
}

namespace {

/// What is read of a file whose header is wanted: most headers are shorter than a page, few longer than four.
constexpr std::size_t kPageOctets = 4 * 1024, kHeadOctets = 4 * kPageOctets;

/// A reader that waits no longer than this for the next messages goes before the index ...
constexpr auto kReaderPause = std::chrono::milliseconds(500);
/// ... but for so long at most.
constexpr auto kReadersMost = std::chrono::seconds(30);

std::string summarise_head(std::string_view header, SummaryDepth depth, std::uint64_t wire_octets,
                           message::Tree& tree) {
  return depth == SummaryDepth::search_keys ? summarise_keys(header, tree)
                                            : summarise_header(header, wire_octets, tree);
}

/// Of the header at the start of `text`; nothing where that does not end there, although there is more.
std::optional<std::string> envelope_of(std::string_view text, bool all) {
  message::MessageFields fields;
  if (!message::find_message_fields(text, fields) && !all) return std::nullopt;
  thread_local std::string scratch;
  scratch.clear();
  message::append_imap_envelope(scratch, fields, text);
  return scratch;
}

}  // namespace

Mailbox::Changing::Changing(Mailbox& mailbox) : mailbox_(mailbox) {
  ++mailbox_.changing_;
  mailbox_.note_reading();
}

Mailbox::Changing::~Changing() {
  mailbox_.note_reading();
  --mailbox_.changing_;
}

bool Mailbox::readers_first() {
  using std::chrono::steady_clock;
  const auto now = steady_clock::now();
  if (changing_ == 0 && now.time_since_epoch() - steady_clock::duration(read_at_.load()) > kReaderPause) {
    put_off_since_ = {};
    return false;
  }
  if (put_off_since_ == steady_clock::time_point{}) put_off_since_ = now;
  return now - put_off_since_ < kReadersMost;
}

std::string Mailbox::summary_of(Uid uid, SummaryDepth depth, FilePlace name) {
  thread_local message::Tree tree;
  auto fd = name.name.empty()
                ? Result<UniqueFd>(UniqueFd())
                : context_->disk->open(name.in_new ? new_ : cur_, std::string(name.name), O_RDONLY | O_NONBLOCK);
  if (!fd || !*fd) fd = open_file(uid);
  if (!fd) return {};
  if (depth != SummaryDepth::whole && depth != SummaryDepth::header_and_size) {
    std::array<char, kHeadOctets> head;
    std::size_t octets = 0;
    for (const auto most : {kPageOctets, kHeadOctets}) {
      const auto more = ::pread(fd->get(), head.data() + octets, most - octets, static_cast<off_t>(octets));
      if (more < 0) return {};
      octets += static_cast<std::size_t>(more);
      const std::string_view text(head.data(), octets);
      if (depth == SummaryDepth::envelope) {
        if (auto envelope = envelope_of(text, octets < most)) return *std::move(envelope);
        continue;
      }
      const auto header = message::header_of(text);
      if (header.size() < octets || octets < most) return summarise_head(header, depth, 0, tree);
    }
  }
  const auto file = MessageFile::open(std::move(*fd));
  if (!file) return {};
  const auto raw = (*file)->raw();
  if (depth == SummaryDepth::whole) return summarise(raw, tree);
  if (depth == SummaryDepth::envelope) return *envelope_of(raw, true);
  return summarise_head(message::header_of(raw), depth,
                        depth == SummaryDepth::header_and_size ? (*file)->wire_octets() : 0, tree);
}

Status Mailbox::keep_summaries(const std::vector<std::pair<Uid, std::string_view>>& records) {
  std::vector<std::string_view> octets;
  record::Known known;
  for (const auto& [uid, record] : records) {
    const auto summary = parse_summary(record);
    if (!summary) continue;
    octets.push_back(record);
    known.rows.push_back({uid, 0, summary->octets, 0});
  }
  return keep(std::move(known), octets);
}

Result<bool> Mailbox::index_ahead(std::size_t most) {
  struct Item {
    Uid uid{};
    bool summary = false, filter = false;  ///< Missing.
  };
  std::vector<Item> items;
  bool more = false;
  {
    std::shared_lock lock(image_lock_);
    if (indexed_epoch_ != epoch_) indexed_epoch_ = epoch_, indexed_to_ = {};
    for (auto row = image_.lower_bound(static_cast<Uid>(number(indexed_to_) + 1)); row < image_.rows(); ++row) {
      if (items.size() == most) {
        more = true;
        break;
      }
      indexed_to_ = image_.uid(row);
      if (image_.tombstone(row)) continue;
      const Item item{indexed_to_, !place_.summaries->plausible(image_.summary(row)),
                      !place_.texts->plausible(image_.filter(row))};
      if (item.summary || item.filter) items.push_back(item);
    }
  }
  record::Known known;
  record::Filters filters;
  std::vector<std::string> summaries, made;
  message::Tree tree;
  std::string text;
  for (const auto& item : items) {
    if (changing_ > 0) {  // the rest in the next round
      indexed_to_ = static_cast<Uid>(number(item.uid) - 1);
      more = false;
      break;
    }
    const auto file = open_message(item.uid);
    if (!file) continue;  // gone meanwhile
    const auto raw = (*file)->raw();
    if (item.summary) {
      summaries.push_back(summarise(raw, tree));
      known.rows.push_back({item.uid, raw.size(), (*file)->wire_octets(), 0});
    }
    if (item.filter) {
      message::search_text(raw, tree, text);
      made.push_back(make_filter(text));
      filters.rows.push_back({item.uid, 0});
    }
  }
  MAIL_CHECK(
      keep(std::move(known), {summaries.begin(), summaries.end()}, std::move(filters), {made.begin(), made.end()}));
  return more;
}

Status Mailbox::complete(const UidSet& uids, bool sizes_only) {
  constexpr std::size_t kPiece = 4096;  // bounds the memory of finished records
  std::vector<Uid> wanted;
  {
    std::shared_lock lock(image_lock_);
    for (const auto& range : uids.ranges()) {
      for (auto row = image_.lower_bound(range.first); row < image_.rows() && image_.uid(row) <= range.last; ++row) {
        if (image_.tombstone(row)) continue;
        const bool missing = sizes_only ? image_.wire_octets(row) == 0 && image_.file_octets(row) != 0
                                        : !place_.summaries->plausible(image_.summary(row));
        if (missing) wanted.push_back(image_.uid(row));
      }
    }
  }
  for (std::size_t from = 0; from < wanted.size(); from += kPiece) {
    note_reading();
    const auto count = std::min(kPiece, wanted.size() - from);
    std::vector<std::string> records(count);
    std::vector<record::Known::Row> rows(count);
    in_parallel(count, context_->settings.parse_threads, 64, [&](std::size_t i) {
      thread_local message::Tree tree;
      const auto uid = wanted[from + i];
      const auto file = open_message(uid);
      if (!file) return;  // gone meanwhile
      const auto raw = (*file)->raw();
      if (sizes_only) {  // the summary waits until it is asked for
        rows[i] = {uid, raw.size(), (*file)->wire_octets(), 0};
        return;
      }
      records[i] = summarise(raw, tree);
      rows[i] = {uid, raw.size(), 0, 0};
      if (const auto summary = parse_summary(records[i])) rows[i].wire_octets = summary->octets;
      if (raw.empty()) rows[i].wire_octets = 0;
    });
    record::Known known;
    std::vector<std::string> good;
    for (std::size_t i = 0; i < count; ++i) {
      if (number(rows[i].uid) == 0) continue;
      if (!sizes_only) good.push_back(std::move(records[i]));
      known.rows.push_back(rows[i]);
    }
    MAIL_CHECK(keep(std::move(known), {good.begin(), good.end()}));
  }
  return {};
}

}  // namespace mail::store
