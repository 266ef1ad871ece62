#include <fcntl.h>
#include <xxhash.h>

#include "base/freed.h"
#include "base/strings.h"
#include "spool/reader.h"
#include "spool/writer_core.h"

namespace mail::spool {

namespace {

constexpr std::size_t kWriteOctets = 256U << 10;  // large messages are written in pieces of this size

std::uint64_t hash_of(std::string_view octets) { return XXH3_64bits(octets.data(), octets.size()); }

/// First line, still blank, and envelope.
std::string blank_header(const Envelope& envelope) { return std::string(kFirstLineOctets, ' ') + print(envelope); }

void fill_first_line(std::string& image, std::size_t header_octets, std::uint64_t content_octets,
                     std::uint64_t content_hash) {
  const auto text = std::string_view(image).substr(kFirstLineOctets, header_octets - kFirstLineOctets);
  const auto line = first_line(text, content_octets, content_hash);
  image.replace(0, kFirstLineOctets, line);
}

std::string finished_header(const Envelope& envelope, std::uint64_t content_octets, std::uint64_t content_hash) {
  auto header = blank_header(envelope);
  fill_first_line(header, header.size(), content_octets, content_hash);
  return header;
}

/// Writes header and the content that is behind `offset` in `source` into a new file, and syncs it.
Status copy_message(Disk& disk, const Directory& tmp, const std::string& name, std::string_view header, int source,
                    std::uint64_t offset) {
  MAIL_TRY(file, disk.open(tmp, name, O_WRONLY | O_CREAT | O_EXCL));
  MAIL_CHECK(disk.write(file.get(), header));
  std::string piece(kWriteOctets, '\0');
  for (;;) {
    const auto got = ::pread(source, piece.data(), piece.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("reading back", name);
    if (got == 0) break;
    MAIL_CHECK(disk.write(file.get(), std::string_view(piece).substr(0, static_cast<std::size_t>(got))));
    offset += static_cast<std::uint64_t>(got);
  }
  MAIL_CHECK(disk.sync(file.get()));
  return disk.close(std::move(file));
}

}  // namespace

struct Incoming::Large {
  UniqueFd file;
  std::string name;
  std::string header;  // as written, its first line blank
  std::string buffer;
  std::unique_ptr<XXH3_state_t, Freed<XXH3_freeState>> hash{XXH3_createState()};
  bool entries_changed = false;
};

Incoming::Incoming(WriterCore& core, std::vector<Entry> entries) : core_(core), entries_(std::move(entries)) {
  if (entries_.empty()) {
    status_ = fail(Error::Kind::permanent, "a message for nobody");
    return;
  }
  image_ = blank_header(entries_[0].envelope);
  header_octets_ = image_.size();
}

Incoming::~Incoming() {
  if (large_) (void)core_.spool().disk().unlink(core_.spool().directory(Box::tmp), large_->name);
}

void Incoming::append(std::string_view octets) {
  octets_ += octets.size();
  if (!status_) return;
  if (!large_ && octets_ > core_.options().small_message_octets) spill();
  if (large_)
    write_large(octets);
  else
    image_.append(octets);
}

void Incoming::spill() {
  auto large = std::make_unique<Large>();
  large->name = temporary_name(core_.program(), entries_[0].envelope.id, entries_[0].box);
  auto file = core_.spool().disk().open(core_.spool().directory(Box::tmp), large->name, O_RDWR | O_CREAT | O_EXCL);
  if (!file) {
    status_ = tl::unexpected(std::move(file).error());
    image_ = std::string();
    return;
  }
  large->file = std::move(*file);
  large->header = image_.substr(0, header_octets_);
  XXH3_64bits_reset(large->hash.get());
  XXH3_64bits_update(large->hash.get(), image_.data() + header_octets_, image_.size() - header_octets_);
  large->buffer = std::exchange(image_, std::string());
  large_ = std::move(large);
}

void Incoming::write_large(std::string_view octets) {
  XXH3_64bits_update(large_->hash.get(), octets.data(), octets.size());
  large_->buffer.append(octets);
  if (large_->buffer.size() < kWriteOctets) return;
  status_ = core_.spool().disk().write(large_->file.get(), large_->buffer);
  large_->buffer.clear();
}

void Incoming::set_entries(std::vector<Entry> entries) {
  if (entries.empty()) {
    status_ = fail(Error::Kind::permanent, "a message for nobody");
    return;
  }
  entries_ = std::move(entries);
  if (large_) {
    large_->entries_changed = true;
    return;
  }
  auto image = blank_header(entries_[0].envelope);
  const auto header_octets = image.size();
  image.append(image_, header_octets_);
  header_octets_ = header_octets;
  image_ = std::move(image);
}

void Incoming::commit(std::unique_ptr<Incoming> message, CommitDone done, CommitDone durable) {
  if (!message->status_) {
    auto status = message->status_;
    message.reset();
    if (durable) durable(status);
    if (done) done(status);
    return;
  }
  if (message->large_)
    commit_large(std::move(message), std::move(done), std::move(durable));
  else
    commit_small(std::move(message), std::move(done), std::move(durable));
}

void Incoming::commit_small(std::unique_ptr<Incoming> message, CommitDone done, CommitDone durable) {
  auto& core = message->core_;
  auto pending = std::make_shared<Pending>();
  pending->id = message->entries_[0].envelope.id;
  pending->done = std::move(done);
  pending->durable = std::move(durable);
  pending->image = std::move(message->image_);
  const auto header_octets = message->header_octets_;
  const auto content = std::string_view(pending->image).substr(header_octets);
  const auto hash = hash_of(content);
  fill_first_line(pending->image, header_octets, content.size(), hash);
  pending->content = std::string_view(pending->image).substr(header_octets);
  pending->headers.reserve(message->entries_.size());  // the parts hold views of them
  for (const auto& entry : message->entries_) {
    auto header = std::string_view(pending->image).substr(0, header_octets);
    if (!pending->parts.empty())
      header = pending->headers.emplace_back(finished_header(entry.envelope, content.size(), hash));
    pending->parts.push_back({entry.box, temporary_name(core.program(), pending->id, entry.box), header});
  }
  core.commit(std::move(pending));
}

void Incoming::commit_large(std::unique_ptr<Incoming> message, CommitDone done, CommitDone durable) {
  auto pending = std::make_shared<Pending>();
  pending->id = message->entries_[0].envelope.id;
  pending->done = std::move(done);
  pending->durable = std::move(durable);
  pending->large = true;
  pending->halves = 1;
  auto& core = message->core_;
  // The files are finished and synced where that blocks nobody; the journal then needs only a note that they are to be
  // named.
  auto job = [message = std::shared_ptr<Incoming>(std::move(message)), pending]() mutable {
    auto& large = *message->large_;
    auto& disk = message->core_.spool().disk();
    const auto& tmp = message->core_.spool().directory(Box::tmp);
    const auto hash = XXH3_64bits_digest(large.hash.get());
    const auto finish = [&]() -> Status {
      MAIL_CHECK(disk.write(large.file.get(), large.buffer));
      std::size_t first_copy = 0;
      if (!large.entries_changed) {
        auto header = large.header;
        fill_first_line(header, header.size(), message->octets_, hash);
        MAIL_CHECK(disk.pwrite(large.file.get(), std::string_view(header).substr(0, kFirstLineOctets), 0));
        MAIL_CHECK(disk.sync(large.file.get()));
        first_copy = 1;
      } else {
        // The first file's name is needed for its successor.
        const auto body = large.name + ".body";
        MAIL_CHECK(disk.rename(tmp, large.name, tmp, body));
        large.name = body;
      }
      for (std::size_t i = 0; i < message->entries_.size(); ++i) {
        const auto& entry = message->entries_[i];
        pending->parts.push_back({entry.box, temporary_name(message->core_.program(), pending->id, entry.box), {}});
        if (i < first_copy) continue;
        MAIL_CHECK(copy_message(disk, tmp, pending->parts.back().temporary_name,
                                finished_header(entry.envelope, message->octets_, hash), large.file.get(),
                                large.header.size()));
      }
      return {};
    };
    if (auto finished = finish(); !finished) pending->fail_with(finished.error());
    auto& writer = message->core_;
    if (!pending->status || large.entries_changed) {
      message.reset();  // removes the file
    } else {
      message->large_.reset();
      message.reset();
    }
    writer.commit(std::move(pending));
  };
  core.run_blocking(std::move(job));
}

}  // namespace mail::spool
