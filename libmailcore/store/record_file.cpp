#include "store/record_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstdlib>

#include "base/id.h"
#include "base/strings.h"
#include "store/octets.h"

namespace mail::store {

namespace {

constexpr std::size_t kFileHead = 16;   // magic, u16 tag, zeros
constexpr std::size_t kRecordHead = 8;  // u32 length, u32 checksum
constexpr std::uint32_t kRecordMost = 64U << 20;
/// No two records begin within so many octets: each has a bit of its own in the list of those that were looked at.
constexpr std::size_t kGrain = 64;
/// Address space is taken for more than there is, so that a file that grows need not be mapped anew each time.
constexpr std::uint64_t kMapLeast = 1U << 20;

std::uint32_t checksum(std::string_view octets) {
  return static_cast<std::uint32_t>(XXH3_64bits(octets.data(), octets.size()));
}

std::uint64_t size_of(int fd) {
  struct stat found {};
  return ::fstat(fd, &found) == 0 ? static_cast<std::uint64_t>(found.st_size) : 0;
}

}  // namespace

class RecordFile::Mapping {
 public:
  /// @param known  a mapping of the same file, whose records need not be looked at again
  static std::shared_ptr<const Mapping> of(int fd, std::uint64_t room, const Mapping* known) {
    void* octets = ::mmap(nullptr, room, PROT_READ, MAP_SHARED, fd, 0);
    if (octets == MAP_FAILED) return nullptr;
    std::shared_ptr<Mapping> mapping(new Mapping(static_cast<const char*>(octets), room));
    if (mapping->good_ == nullptr) return nullptr;
    if (known != nullptr)
      for (std::size_t i = 0; i < known->words(); ++i)
        if (const auto bits = known->good_[i].load(std::memory_order_relaxed); bits != 0) mapping->good_[i] = bits;
    return mapping;
  }
  ~Mapping() {
    ::munmap(const_cast<char*>(octets_), room_);
    std::free(good_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::uint64_t room() const { return room_; }
  const char* octets() const { return octets_; }
  bool known_good(std::uint64_t at) const {
    const auto bit = at / kGrain;
    return (good_[bit / 64].load(std::memory_order_relaxed) >> (bit % 64) & 1) != 0;
  }
  void set_good(std::uint64_t at) const {
    const auto bit = at / kGrain;
    good_[bit / 64].fetch_or(std::uint64_t{1} << (bit % 64), std::memory_order_relaxed);
  }

 private:
  using Word = std::atomic<std::uint64_t>;
  Mapping(const char* octets, std::uint64_t room)
      : octets_(octets), room_(room), good_(static_cast<Word*>(std::calloc(words(), sizeof(Word)))) {}
  std::size_t words() const { return static_cast<std::size_t>(room_ / kGrain / 64 + 1); }

  const char* const octets_;
  const std::uint64_t room_;
  Word* const good_;  // calloc: pages of it that nobody touches cost nothing
};

RecordFile::RecordFile(Disk& disk, const Directory& directory, std::string name, std::string_view magic)
    : disk_(disk), directory_(directory), name_(std::move(name)), magic_(magic) {}

RecordFile::~RecordFile() = default;

Status RecordFile::open() {
  for (int attempt = 0; attempt < 3; ++attempt) {
    MAIL_TRY(fd, disk_.open(directory_, name_, O_RDWR | O_CREAT, 0600));
    while (::flock(fd.get(), LOCK_EX) != 0)
      if (errno != EINTR) return fail_errno("locking the index in", directory_.path());
    char head[kFileHead] = {};
    const auto got = ::pread(fd.get(), head, sizeof head, 0);
    std::uint16_t tag = 0;
    std::memcpy(&tag, head + 8, 2);
    bool good = got == static_cast<ssize_t>(sizeof head) && std::string_view(head, 8) == magic_ && tag != 0;
    if (!good && got == 0) {  // new
      std::string text(magic_);
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
    MAIL_CHECK(disk_.unlink(directory_, name_));  // damaged or of another version: all is made again
  }
  return fail(Error::Kind::temporary, concat({"cannot be opened: ", name_}));
}

Result<std::vector<RecordRef>> RecordFile::append(const std::vector<std::string_view>& records) {
  std::string octets;
  std::size_t length = 0;
  for (const auto& record : records) length += kRecordHead + record.size();
  octets.reserve(length);
  std::vector<RecordRef> out;
  out.reserve(records.size());
  for (const auto& record : records) {
    out.push_back(octets.size());
    put(octets, static_cast<std::uint32_t>(record.size()));
    put(octets, checksum(record));
    octets += record;
  }
  std::lock_guard lock(mutex_);
  while (::flock(fd_.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno("locking the index in", directory_.path());
  const auto at = std::max<std::uint64_t>(size_of(fd_.get()), kFileHead);
  auto wrote = disk_.pwrite(fd_.get(), octets, at);
  if (!wrote) (void)disk_.truncate(fd_.get(), at);
  (void)::flock(fd_.get(), LOCK_UN);
  if (!wrote) return tl::unexpected(std::move(wrote).error());
  end_ = at + octets.size();
  for (auto& ref : out) ref = (static_cast<std::uint64_t>(tag_) << 48) | (at + ref);
  return out;
}

bool RecordFile::plausible(RecordRef ref) const {
  if (ref == 0 || (ref >> 48) != tag_) return false;
  const auto at = ref & 0xFFFFFFFFFFFF;
  if (at + kRecordHead > end_) end_ = size_of(fd_.get());  // another process appended
  return at >= kFileHead && at + kRecordHead <= end_;
}

std::shared_ptr<const RecordFile::Mapping> RecordFile::mapping_up_to(std::uint64_t end) const {
  std::lock_guard lock(mutex_);
  // A file that was cut may have grown again: what was looked at in it counts no more.
  const bool cut = end < longest_;
  longest_ = end;
  if (!mapping_ || cut || mapping_->room() < end)
    mapping_ = Mapping::of(fd_.get(), std::max(2 * end, kMapLeast), cut ? nullptr : mapping_.get());
  return mapping_;
}

RecordFile::Reading::Reading(const RecordFile& file) : mapping_(), end_(size_of(file.fd_.get())), tag_(file.tag_) {
  mapping_ = file.mapping_up_to(end_);
  if (!mapping_) end_ = 0;
}

std::optional<std::string_view> RecordFile::Reading::record(RecordRef ref) const {
  const auto at = ref & 0xFFFFFFFFFFFF;
  if (ref == 0 || (ref >> 48) != tag_ || at < kFileHead || at + kRecordHead > end_) return std::nullopt;
  const char* const head = mapping_->octets() + at;
  std::uint32_t length = 0, check = 0;
  std::memcpy(&length, head, 4);
  std::memcpy(&check, head + 4, 4);
  if (length > kRecordMost || at + kRecordHead + length > end_) return std::nullopt;
  const std::string_view content(head + kRecordHead, length);
  if (!mapping_->known_good(at)) {
    if (checksum(content) != check) return std::nullopt;
    mapping_->set_good(at);
  }
  return content;
}

}  // namespace mail::store
