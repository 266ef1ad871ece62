#include "store/message_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/disk.h"
#include "message/line_ends.h"

namespace mail::store {

namespace {

/// Below this a read is cheaper than a mapping (page tables, faults).
constexpr std::size_t kReadOctets = 256 * 1024;

}  // namespace

MessageFile::MessageFile(std::string octets) : owned_(std::move(octets)), raw_(owned_) {}

MessageFile::~MessageFile() {
  if (map_ != nullptr) ::munmap(map_, map_octets_);
}

Result<std::shared_ptr<MessageFile>> MessageFile::open(UniqueFd fd) {
  struct stat found {};
  if (::fstat(fd.get(), &found) != 0) return fail_errno("reading a message");
  if (!S_ISREG(found.st_mode)) return fail(Error::Kind::refused, "a message that is not a regular file");
  std::shared_ptr<MessageFile> file(new MessageFile());
  const auto octets = static_cast<std::size_t>(found.st_size);
  if (octets < kReadOctets) {
    file->read_ = std::make_unique_for_overwrite<char[]>(octets);
    std::size_t got = 0;
    while (got < octets) {
      const auto n = ::pread(fd.get(), file->read_.get() + got, octets - got, static_cast<off_t>(got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("reading a message");
      if (n == 0) break;
      got += static_cast<std::size_t>(n);
    }
    file->raw_ = {file->read_.get(), got};
    return file;
  }
  void* map = ::mmap(nullptr, octets, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return fail_errno("mapping a message");
  file->map_ = map;
  file->map_octets_ = octets;
  file->raw_ = {static_cast<const char*>(map), octets};
  return file;
}

std::shared_ptr<MessageFile> MessageFile::from_cache(int fd, std::size_t most) {
  struct stat found {};
  if (::fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) return nullptr;
  const auto octets = static_cast<std::size_t>(found.st_size);
  if (octets > most) return nullptr;
  std::shared_ptr<MessageFile> file(new MessageFile());
  file->read_ = std::make_unique_for_overwrite<char[]>(octets);
  const iovec all{file->read_.get(), octets};
  if (octets > 0 && ::preadv2(fd, &all, 1, 0, RWF_NOWAIT) != static_cast<ssize_t>(octets)) return nullptr;
  file->raw_ = {file->read_.get(), octets};
  return file;
}

std::uint64_t MessageFile::wire_octets() const {
  if (wire_octets_ == UINT64_MAX) wire_octets_ = raw_.size() + message::bare_lfs(raw_);
  return wire_octets_;
}

std::string MessageFile::wire() const {
  std::string out;
  out.reserve(static_cast<std::size_t>(wire_octets()));
  append_wire(out, 0, wire_octets());
  return out;
}

void MessageFile::append_wire(std::string& to, std::uint64_t offset, std::uint64_t octets) const {
  if (offset == 0 && octets >= wire_octets()) return message::append_crlf(to, raw_, 0, wire_octets() - raw_.size());
  if (offset < wire_at_) wire_at_ = 0, raw_at_ = 0;
  // Skips to `offset`: half a CRLF may be skipped, so the walk is by octets of the CRLF form.
  const auto walk = [&](std::uint64_t wanted, std::string* out) {
    while (wanted > 0 && raw_at_ < raw_.size()) {
      const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, raw_.size() - raw_at_));
      const auto text = raw_.substr(raw_at_, piece);
      const auto lf = text.find('\n');
      const std::size_t plain = lf == std::string_view::npos ? piece : lf;
      if (out != nullptr) out->append(text.substr(0, plain));
      raw_at_ += plain, wire_at_ += plain, wanted -= plain;
      if (lf == std::string_view::npos || wanted == 0) continue;
      const bool bare = raw_at_ == 0 || raw_[raw_at_ - 1] != '\r';
      if (bare && !half_line_end_) {
        if (out != nullptr) *out += '\r';
        ++wire_at_, --wanted;
        half_line_end_ = true;
        if (wanted == 0) break;
      }
      if (out != nullptr) *out += '\n';
      half_line_end_ = false;
      ++raw_at_, ++wire_at_, --wanted;
    }
  };
  if (wire_at_ == 0) half_line_end_ = false;
  walk(offset - wire_at_, nullptr);
  walk(octets, &to);
}

void append_crlf(std::string& to, std::string_view text, char last) { message::append_crlf(to, text, last); }

void append_lf(std::string& to, std::string_view text, bool& pending_cr) { message::append_lf(to, text, pending_cr); }

}  // namespace mail::store
