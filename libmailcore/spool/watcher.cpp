#include "spool/watcher.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace mail::spool {

namespace {
/// True for what may be a message by its name: an id, or in drop anything its writer has finished naming.
bool counts(Box box, std::string_view name) {
  return box == Box::drop ? !name.empty() && name[0] != '.' : MessageId::parse(name).has_value();
}
}  // namespace

Result<Watcher> Watcher::open(const Spool& spool, std::vector<Box> boxes) {
  Watcher watcher(spool, std::move(boxes));
  watcher.inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!watcher.inotify_) return watcher;  // no instances left, or no inotify at all: the scan finds everything
  for (const Box box : watcher.boxes_) {
    // Messages arrive by rename; only drop gets files from programs that are not ours.
    const auto mask = box == Box::drop ? IN_MOVED_TO | IN_CLOSE_WRITE : IN_MOVED_TO;
    const int watch = ::inotify_add_watch(watcher.inotify_.get(), spool.directory(box).path().c_str(),
                                          static_cast<std::uint32_t>(mask) | IN_ONLYDIR);
    if (watch < 0) {
      watcher.inotify_.reset();
      return watcher;
    }
    watcher.watches_.emplace_back(watch, box);
  }
  return watcher;
}

Result<std::vector<Found>> Watcher::read(bool* overflow) {
  std::vector<Found> found;
  if (!inotify_) return found;
  alignas(inotify_event) char buffer[64 * 1024];
  for (;;) {
    const auto got = ::read(inotify_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return found;
    if (got <= 0) return fail_errno("reading inotify");
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(got);) {
      inotify_event event{};
      std::memcpy(&event, buffer + at, sizeof event);
      if ((event.mask & IN_Q_OVERFLOW) != 0 && overflow == nullptr) return scan();
      if ((event.mask & IN_Q_OVERFLOW) != 0) *overflow = true;
      const std::string_view name(event.len > 0 ? buffer + at + sizeof event : "");
      const auto watch = std::ranges::find(watches_, event.wd, &std::pair<int, Box>::first);
      if (watch != watches_.end() && counts(watch->second, name)) found.push_back({watch->second, std::string(name)});
      at += sizeof event + event.len;
    }
  }
}

Result<std::vector<Found>> Watcher::scan() const {
  std::vector<Found> found;
  for (const Box box : boxes_) {
    if (box == Box::drop) {
      MAIL_TRY(names, spool_->disk().list(spool_->directory(box)));
      for (auto& name : names)
        if (counts(box, name)) found.push_back({box, std::move(name)});
    } else {
      MAIL_TRY(ids, spool_->list(box));
      std::ranges::sort(ids);  // oldest first
      for (const auto& id : ids) found.push_back({box, id.text()});
    }
  }
  return found;
}

}  // namespace mail::spool
