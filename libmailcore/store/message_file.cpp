#include "store/message_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "base/disk.h"

namespace mail::store {

namespace {

/// Below this a read is cheaper than a mapping (page tables, faults).
constexpr std::size_t kReadOctets = 256 * 1024;

#ifdef __SSE2__
constexpr std::size_t kBlock = sizeof(__m128i);
/// Bit i: octet i of the block is LF.
unsigned lfs_of(const char* at) {
  const auto block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8('\n'))));
}
unsigned crs_of(const char* at) {
  const auto block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8('\r'))));
}
#endif

/// LFs in `text` that have no CR before them.
std::uint64_t bare_lfs(std::string_view text, char last) {
  std::uint64_t count = 0;
  std::size_t i = 0;
#ifdef __SSE2__
  unsigned carry = last == '\r' ? 1 : 0;
  for (; i + kBlock <= text.size(); i += kBlock) {
    const unsigned crs = crs_of(text.data() + i);
    count += static_cast<unsigned>(__builtin_popcount(lfs_of(text.data() + i) & ~((crs << 1) | carry)));
    carry = crs >> (kBlock - 1);
  }
  if (i > 0) last = text[i - 1];
#endif
  for (; i < text.size(); last = text[i++]) count += text[i] == '\n' && last != '\r' ? 1 : 0;
  return count;
}

/// Appends all of `text` with CRLF line ends; `bare` is bare_lfs(text). One pass, one growth: lines of mail are short,
/// and a call for each would cost more than the octets do.
void append_expanded(std::string& to, std::string_view text, char last, std::uint64_t bare) {
  const auto before = to.size();
  if (bare == 0) {
    to += text;
    return;
  }
  // Room for a block more than is needed: blocks are stored whole and then partly written over.
  to.resize(before + text.size() + static_cast<std::size_t>(bare) + 16);
  char* out = to.data() + before;
  std::size_t i = 0;
#ifdef __SSE2__
  while (i + kBlock <= text.size()) {
    const auto block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), block);
    const unsigned lfs = lfs_of(text.data() + i);
    if (lfs == 0) {
      i += kBlock, out += kBlock;
      continue;
    }
    const auto plain = static_cast<std::size_t>(__builtin_ctz(lfs));
    i += plain, out += plain;
    const char previous = i == 0 ? last : text[i - 1];
    if (previous != '\r') *out++ = '\r';
    *out++ = '\n';
    ++i;
  }
#endif
  for (; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 ? last : text[i - 1]) != '\r') *out++ = '\r';
    *out++ = text[i];
  }
  to.resize(static_cast<std::size_t>(out - to.data()));
}

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
    file->owned_.resize(octets);
    std::size_t got = 0;
    while (got < octets) {
      const auto n = ::pread(fd.get(), file->owned_.data() + got, octets - got, static_cast<off_t>(got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("reading a message");
      if (n == 0) break;
      got += static_cast<std::size_t>(n);
    }
    file->owned_.resize(got);
    file->raw_ = file->owned_;
    return file;
  }
  void* map = ::mmap(nullptr, octets, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return fail_errno("mapping a message");
  file->map_ = map;
  file->map_octets_ = octets;
  file->raw_ = {static_cast<const char*>(map), octets};
  return file;
}

std::uint64_t MessageFile::wire_octets() const {
  if (wire_octets_ == UINT64_MAX) wire_octets_ = raw_.size() + bare_lfs(raw_, 0);
  return wire_octets_;
}

std::string MessageFile::wire() const {
  std::string out;
  out.reserve(static_cast<std::size_t>(wire_octets()));
  append_crlf(out, raw_);
  return out;
}

void MessageFile::append_wire(std::string& to, std::uint64_t offset, std::uint64_t octets) const {
  if (offset == 0 && octets >= wire_octets()) return append_expanded(to, raw_, 0, wire_octets() - raw_.size());
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

void append_crlf(std::string& to, std::string_view text, char last) {
  append_expanded(to, text, last, bare_lfs(text, last));
}

void append_lf(std::string& to, std::string_view text, bool& pending_cr) {
  if (pending_cr && !text.empty()) {
    if (text.front() != '\n') to += '\r';
    pending_cr = false;
  }
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    const auto* cr = static_cast<const char*>(std::memchr(at, '\r', static_cast<std::size_t>(end - at)));
    if (cr == nullptr) break;
    to.append(at, static_cast<std::size_t>(cr - at));
    if (cr + 1 == end) {
      pending_cr = true;
      return;
    }
    if (cr[1] != '\n') to += '\r';
    at = cr + 1;
  }
  to.append(at, static_cast<std::size_t>(end - at));
}

}  // namespace mail::store
