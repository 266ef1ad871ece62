#include "store/shared_file.h"

#include <sys/stat.h>

#include <algorithm>

#include "store/dotlock.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {
constexpr std::uint64_t kMostOctets = 64U << 20;
}

Result<std::optional<std::string>> SharedFile::changed_text() {
  struct stat found {};
  if (::stat(path_.c_str(), &found) != 0) {
    time_ = -1;
    return std::string();
  }
  const std::int64_t time = std::int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec;
  if (time == time_ && found.st_ino == inode_) return std::nullopt;
  MAIL_TRY(text, read_file_at(path_, kMostOctets));
  time_ = time;
  inode_ = found.st_ino;
  return std::move(text);
}

Status SharedFile::change(const std::function<std::optional<std::string>(std::string_view text)>& change) {
  const auto slash = path_.find_last_of('/');
  MAIL_TRY(directory, disk_.open_directory(path_.substr(0, std::max<std::size_t>(slash, 1))));
  const auto name = path_.substr(slash + 1);
  MAIL_TRY(dotlock, Dotlock::take(disk_, directory, name + ".lock"));
  (void)dotlock;
  time_ = -1;
  MAIL_TRY(text, changed_text());
  const auto changed = change(*text);
  return changed ? replace_file(disk_, directory, name, *changed) : Status();
}

}  // namespace mail::store
