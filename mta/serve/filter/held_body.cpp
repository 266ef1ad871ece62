#include "mta/serve/filter/held_body.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/id.h"
#include "base/strings.h"

namespace mail::mta {
namespace {

constexpr std::size_t kWriteOctets = std::size_t{256} * 1024;

}  // namespace

void HeldBody::append(std::string_view octets) {
  octets_ += octets.size();
  if (!status_) return;
  memory_.append(octets);
  if (!file_ && memory_.size() > memory_octets_) spill();
  if (file_ && memory_.size() >= kWriteOctets) flush();
}

void HeldBody::replace(std::string octets) {
  file_.reset();
  file_octets_ = 0;
  octets_ = octets.size();
  memory_ = std::move(octets);
}

void HeldBody::spill() {
  auto file = disk_.open(directory_, ".", O_TMPFILE | O_RDWR);
  if (!file) {  // a file system that has none without a name (NFS)
    const auto name = concat({"filtered.", random_token(16)});
    file = disk_.open(directory_, name, O_RDWR | O_CREAT | O_EXCL);
    if (file) (void)disk_.unlink(directory_, name);
  }
  if (!file) {
    status_ = tl::unexpected(std::move(file).error());
    memory_ = {};
    return;
  }
  file_ = std::move(*file);
}

void HeldBody::flush() {
  status_ = disk_.write(file_.get(), memory_);
  file_octets_ += memory_.size();
  memory_.clear();
}

std::string HeldBody::read(std::uint64_t offset, std::size_t most) {
  if (!status_ || offset >= octets_) return {};
  if (!file_) return memory_.substr(offset, most);
  if (!memory_.empty()) flush();
  if (!status_) return {};
  std::string piece(static_cast<std::size_t>(std::min<std::uint64_t>(most, octets_ - offset)), '\0');
  std::size_t have = 0;
  while (have < piece.size()) {
    const auto got = ::pread(file_.get(), piece.data() + have, piece.size() - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      status_ = got < 0 ? Status(fail_errno("reading back", "a message for the filters"))
                        : Status(fail(Error::Kind::temporary, "a message for the filters is shorter than it was"));
      return {};
    }
    have += static_cast<std::size_t>(got);
  }
  return piece;
}

}  // namespace mail::mta
