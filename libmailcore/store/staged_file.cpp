#include "store/staged_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

namespace mail::store {

namespace {
constexpr std::size_t kBuffer = 128 * 1024;

/// @param last  the octet before; becomes the last one of the text
std::uint64_t bare_line_feeds(std::string_view text, char& last) {
  if (text.empty()) return 0;
  auto count = static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
  if (last == '\r' && text.front() == '\n') --count;
  for (auto at = text.find('\r'); at < text.size() - 1; at = text.find('\r', at + 1))  // hardly ever one
    if (text[at + 1] == '\n') --count;
  last = text.back();
  return count;
}

}  // namespace

StagedFile::StagedFile(Disk& disk, std::shared_ptr<Mailbox> mailbox, const Directory& directory, std::string name,
                       UniqueFd fd)
    : disk_(disk),
      mailbox_(std::move(mailbox)),
      directory_(directory),
      name_(std::move(name)),
      fd_(std::move(fd)),
      hash_(XXH3_createState()) {
  XXH3_64bits_reset(hash_.get());
}

StagedFile::~StagedFile() {
  if (!name_.empty()) (void)disk_.unlink(directory_, name_);
}

Status StagedFile::spill() {
  if (buffer_.empty()) return {};
  XXH3_64bits_update(hash_.get(), buffer_.data(), buffer_.size());
  MAIL_CHECK(disk_.write(fd_.get(), buffer_));
  buffer_.clear();
  return {};
}

Status StagedFile::write(std::string_view octets) {
  while (!octets.empty()) {
    const auto piece = octets.substr(0, kBuffer);
    octets.remove_prefix(piece.size());
    const auto before = buffer_.size();
    append_lf(buffer_, piece, pending_cr_);
    bare_lf_ += bare_line_feeds(std::string_view(buffer_).substr(before), last_);
    file_octets_ += buffer_.size() - before;
    if (buffer_.size() >= kBuffer) MAIL_CHECK(spill());
  }
  return {};
}

Status StagedFile::write_held_back() {
  if (pending_cr_) {
    buffer_ += '\r';
    ++file_octets_;
    pending_cr_ = false;
  }
  return spill();
}

Result<std::shared_ptr<MessageFile>> StagedFile::content() {
  MAIL_CHECK(write_held_back());
  MAIL_TRY(fd, disk_.open(directory_, name_, O_RDONLY));
  return MessageFile::open(std::move(fd));
}

Status StagedFile::finish() {
  MAIL_CHECK(write_held_back());
  hash_result_ = XXH3_64bits_digest(hash_.get());
  return {};
}

Status StagedFile::finish(std::int64_t internal_date) {
  MAIL_CHECK(finish());
  const timespec times[2] = {{internal_date, 0}, {internal_date, 0}};
  if (::futimens(fd_.get(), times) != 0) return fail_errno("setting the time of a message");
  return {};
}

}  // namespace mail::store
