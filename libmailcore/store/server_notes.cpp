#include "store/server_notes.h"

#include <sys/stat.h>

#include <algorithm>

#include "store/dotlock.h"
#include "store/text_file.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {
constexpr std::uint64_t kMostOctets = 64U << 20;
}

Status ServerNotes::look() {
  struct stat found {};
  if (::stat(path_.c_str(), &found) != 0) {
    notes_.clear();
    time_ = -1;
    return {};
  }
  const std::int64_t time = std::int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec;
  if (time == time_ && found.st_ino == inode_) return {};
  MAIL_TRY(text, read_file_at(path_, kMostOctets));
  notes_ = parse_properties(text);
  time_ = time;
  inode_ = found.st_ino;
  return {};
}

Result<Notes> ServerNotes::all() {
  if (path_.empty()) return Notes();
  std::lock_guard lock(mutex_);
  MAIL_CHECK(look());
  return notes_;
}

Status ServerNotes::change(const std::function<bool(Notes&)>& change) {
  if (path_.empty()) return fail(Error::Kind::refused, "nothing is kept of the server");
  std::vector<std::string> changed;
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    std::lock_guard lock(mutex_);
    const auto slash = path_.find_last_of('/');
    MAIL_TRY(directory, disk_.open_directory(path_.substr(0, std::max<std::size_t>(slash, 1))));
    const auto name = path_.substr(slash + 1);
    MAIL_TRY(dotlock, Dotlock::take(disk_, directory, name + ".lock"));
    (void)dotlock;
    time_ = -1;
    MAIL_CHECK(look());
    auto notes = notes_;
    if (!change(notes) || notes == notes_) return {};
    MAIL_CHECK(replace_file(disk_, directory, name, format_properties(notes)));
    for (const auto& [entry, value] : notes)
      if (const auto was = notes_.find(entry); was == notes_.end() || was->second != value) changed.push_back(entry);
    for (const auto& [entry, value] : notes_)
      if (!notes.contains(entry)) changed.push_back(entry);
    notes_ = std::move(notes);
    std::erase_if(listeners_, [](const auto& listener) { return listener.expired(); });
    for (const auto& listener : listeners_)
      if (auto there = listener.lock()) listeners.push_back(std::move(there));
  }
  for (const auto& entry : changed)
    for (const auto& listener : listeners) (*listener)(entry);
  return {};
}

std::shared_ptr<void> ServerNotes::on_change(Listener told) {
  auto listener = std::make_shared<Listener>(std::move(told));
  std::lock_guard lock(mutex_);
  listeners_.push_back(listener);
  return listener;
}

}  // namespace mail::store
