#include "store/text_index.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "base/id.h"
#include "store/octets.h"

namespace mail::store {

namespace {

const std::string kFile = "relais.search";
constexpr std::string_view kMagic = "RELAIST1";
constexpr std::size_t kFileHead = 16;
constexpr std::size_t kHead = 8;  // u32 octets of the filter, u32 checksum
constexpr std::size_t kFilterLeast = 64, kFilterMost = 64 * 1024;

std::uint32_t hash_trigram(const unsigned char* at) {
  const std::uint32_t value = static_cast<std::uint32_t>(at[0]) | (static_cast<std::uint32_t>(at[1]) << 8) |
                              (static_cast<std::uint32_t>(at[2]) << 16);
  std::uint64_t mixed = value * 0x9E3779B97F4A7C15ULL;
  mixed ^= mixed >> 29;
  return static_cast<std::uint32_t>((mixed * 0xBF58476D1CE4E5B9ULL) >> 32);
}

std::uint32_t checksum(std::string_view octets) {
  return static_cast<std::uint32_t>(XXH3_64bits(octets.data(), octets.size()));
}

}  // namespace

std::string make_filter(std::string_view folded) {
  // One bit for each trigram; a filter twice as large is folded together while it is sparse, so that its size follows
  // the number of different trigrams.
  std::string bits(std::min(kFilterMost, std::max(kFilterLeast, std::bit_ceil(folded.size() / 2))), '\0');
  const auto* at = reinterpret_cast<const unsigned char*>(folded.data());
  for (std::size_t i = 0; i + 3 <= folded.size(); ++i) {
    const auto bit = hash_trigram(at + i) & (bits.size() * 8 - 1);
    bits[bit / 8] = static_cast<char>(bits[bit / 8] | (1 << (bit % 8)));
  }
  for (;;) {
    std::size_t set = 0;
    for (const char c : bits) set += static_cast<std::size_t>(std::popcount(static_cast<unsigned char>(c)));
    if (bits.size() <= kFilterLeast || set * 8 > bits.size() * 8) return bits;  // more than an eighth is set
    const auto half = bits.size() / 2;
    for (std::size_t i = 0; i < half; ++i) bits[i] = static_cast<char>(bits[i] | bits[half + i]);
    bits.resize(half);
  }
}

std::vector<std::uint32_t> needle_trigrams(std::string_view folded) {
  std::vector<std::uint32_t> out;
  const auto* at = reinterpret_cast<const unsigned char*>(folded.data());
  for (std::size_t i = 0; i + 3 <= folded.size(); ++i) out.push_back(hash_trigram(at + i));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Status TextIndex::open() {
  for (int attempt = 0; attempt < 3; ++attempt) {
    MAIL_TRY(fd, disk_.open(directory_, kFile, O_RDWR | O_CREAT, 0600));
    while (::flock(fd.get(), LOCK_EX) != 0)
      if (errno != EINTR) return fail_errno("locking the search index in", directory_.path());
    char head[kFileHead] = {};
    const auto got = ::pread(fd.get(), head, sizeof head, 0);
    std::uint16_t tag = 0;
    std::memcpy(&tag, head + 8, 2);
    bool good = got == static_cast<ssize_t>(sizeof head) && std::string_view(head, 8) == kMagic && tag != 0;
    if (!good && got == 0) {
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
      fd_ = std::move(fd);
      return {};
    }
    MAIL_CHECK(disk_.unlink(directory_, kFile));
  }
  return fail(Error::Kind::temporary, "the search index cannot be opened");
}

Result<std::vector<FilterRef>> TextIndex::append(const std::vector<std::string>& filters) {
  std::string octets;
  std::vector<FilterRef> out;
  for (const auto& filter : filters) {
    out.push_back(octets.size());
    put(octets, static_cast<std::uint32_t>(filter.size()));
    put(octets, checksum(filter));
    octets += filter;
  }
  std::lock_guard lock(mutex_);
  while (::flock(fd_.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno("locking the search index in", directory_.path());
  struct stat found {};
  const auto end = ::fstat(fd_.get(), &found) == 0 ? static_cast<std::uint64_t>(found.st_size) : 0;
  const auto at = std::max<std::uint64_t>(end, kFileHead);
  auto wrote = disk_.pwrite(fd_.get(), octets, at);
  if (!wrote) (void)disk_.truncate(fd_.get(), at);
  (void)::flock(fd_.get(), LOCK_UN);
  if (!wrote) return tl::unexpected(std::move(wrote).error());
  for (auto& ref : out) ref = (static_cast<std::uint64_t>(tag_) << 48) | (at + ref);
  return out;
}

bool TextIndex::may_contain(FilterRef ref, const std::vector<std::uint32_t>& trigrams, std::string& scratch) const {
  if (!plausible(ref)) return true;
  const auto at = static_cast<off_t>(ref & 0xFFFFFFFFFFFF);
  scratch.resize(kHead + 4096);  // mostly the whole filter in one read
  auto got = ::pread(fd_.get(), scratch.data(), scratch.size(), at);
  if (got < static_cast<ssize_t>(kHead)) return true;
  std::uint32_t length = 0, check = 0;
  std::memcpy(&length, scratch.data(), 4);
  std::memcpy(&check, scratch.data() + 4, 4);
  if (length < kFilterLeast || length > kFilterMost || !std::has_single_bit(length)) return true;
  if (static_cast<std::size_t>(got) < kHead + length) {
    scratch.resize(kHead + length);
    got = ::pread(fd_.get(), scratch.data(), scratch.size(), at);
    if (static_cast<std::size_t>(std::max<ssize_t>(got, 0)) < kHead + length) return true;
  }
  const std::string_view filter(scratch.data() + kHead, length);
  for (const auto trigram : trigrams) {
    const auto bit = trigram & (length * 8 - 1);
    if (((static_cast<unsigned char>(filter[bit / 8]) >> (bit % 8)) & 1) == 0)
      return checksum(filter) != check;  // only an undamaged filter may say no
  }
  return true;
}

}  // namespace mail::store
