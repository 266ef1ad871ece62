#include "store/summary_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/id.h"
#include "store/octets.h"
#include "store/summary.h"

namespace mail::store {

namespace {

const std::string kFile = "relais.cache";
constexpr std::string_view kMagic = "RELAISC1";
constexpr std::size_t kFileHead = 16;   // magic, u16 tag, zeros
constexpr std::size_t kRecordHead = 8;  // u32 length, u32 checksum
constexpr std::size_t kChunk = 256 * 1024;
constexpr std::uint32_t kRecordMost = 64U << 20;

std::uint32_t checksum(std::string_view octets) {
  return static_cast<std::uint32_t>(XXH3_64bits(octets.data(), octets.size()));
}

std::uint64_t size_of(int fd) {
  struct stat found {};
  return ::fstat(fd, &found) == 0 ? static_cast<std::uint64_t>(found.st_size) : 0;
}

}  // namespace

Status SummaryCache::open() {
  for (int attempt = 0; attempt < 3; ++attempt) {
    MAIL_TRY(fd, disk_.open(directory_, kFile, O_RDWR | O_CREAT, 0600));
    while (::flock(fd.get(), LOCK_EX) != 0)
      if (errno != EINTR) return fail_errno("locking the summaries in", directory_.path());
    char head[kFileHead] = {};
    const auto got = ::pread(fd.get(), head, sizeof head, 0);
    std::uint16_t tag = 0;
    std::memcpy(&tag, head + 8, 2);
    bool good = got == static_cast<ssize_t>(sizeof head) && std::string_view(head, 8) == kMagic && tag != 0;
    if (!good && got == 0) {  // new
      std::string text(kMagic);
      const auto random = random_octets(2);
      std::memcpy(&tag, random.data(), 2);
      if (tag == 0) tag = 1;
      put(text, tag);
      text.resize(kFileHead, '\0');
      MAIL_CHECK(disk_.pwrite(fd.get(), text, 0));
      good = true;
    }
    (void)::flock(fd.get(), LOCK_UN);
    if (good) {
      tag_ = tag;
      end_ = size_of(fd.get());
      fd_ = std::move(fd);
      return {};
    }
    MAIL_CHECK(disk_.unlink(directory_, kFile));  // damaged or of another version: all is made again
  }
  return fail(Error::Kind::temporary, "the summaries cannot be opened");
}

Result<std::vector<SummaryRef>> SummaryCache::append(const std::vector<std::string>& records) {
  std::string octets;
  std::vector<SummaryRef> out;
  for (const auto& record : records) {
    out.push_back(octets.size());
    put(octets, static_cast<std::uint32_t>(record.size()));
    put(octets, checksum(record));
    octets += record;
  }
  std::lock_guard lock(mutex_);
  while (::flock(fd_.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno("locking the summaries in", directory_.path());
  const auto at = std::max<std::uint64_t>(size_of(fd_.get()), kFileHead);
  auto wrote = disk_.pwrite(fd_.get(), octets, at);
  if (!wrote) (void)disk_.truncate(fd_.get(), at);
  (void)::flock(fd_.get(), LOCK_UN);
  if (!wrote) return tl::unexpected(std::move(wrote).error());
  end_ = at + octets.size();
  for (auto& ref : out) ref = (static_cast<std::uint64_t>(tag_) << 48) | (at + ref);
  return out;
}

bool SummaryCache::plausible(SummaryRef ref) const {
  if (ref == 0 || (ref >> 48) != tag_) return false;
  const auto at = ref & 0xFFFFFFFFFFFF;
  std::lock_guard lock(mutex_);
  if (at + kRecordHead > end_) end_ = size_of(fd_.get());  // another process appended
  return at >= kFileHead && at + kRecordHead <= end_;
}

std::optional<std::string_view> SummaryCache::Reading::octets(std::uint64_t at, std::size_t length) {
  if (at < buffer_at_ || at + length > buffer_at_ + buffer_.size()) {
    const auto room = std::max(length, kChunk);
    buffer_.resize(room);
    const auto got = ::pread(cache_.fd_.get(), buffer_.data(), room, static_cast<off_t>(at));
    buffer_.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    buffer_at_ = at;
    if (buffer_.size() < length) return std::nullopt;
  }
  return std::string_view(buffer_).substr(static_cast<std::size_t>(at - buffer_at_), length);
}

std::optional<Summary> SummaryCache::Reading::summary(SummaryRef ref) {
  if (ref == 0 || (ref >> 48) != cache_.tag_) return std::nullopt;
  const auto at = ref & 0xFFFFFFFFFFFF;
  const auto head = octets(at, kRecordHead);
  if (!head) return std::nullopt;
  Reader in(*head);
  const auto length = in.get<std::uint32_t>();
  const auto check = in.get<std::uint32_t>();
  if (length > kRecordMost) return std::nullopt;
  const auto record = octets(at + kRecordHead, length);
  if (!record || checksum(*record) != check) return std::nullopt;
  return parse_summary(*record);
}

}  // namespace mail::store
