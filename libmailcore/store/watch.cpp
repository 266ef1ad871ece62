#include "store/watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <set>

#include "base/strings.h"
#include "store/mailbox_core.h"

namespace mail::store {

namespace {

constexpr std::uint32_t kMessages = IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR;
/// Our log and Dovecot's uid list; a name of their own for what other programs replace.
constexpr std::uint32_t kFolder = IN_MOVED_TO | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

int watch_fd(int inotify, const Directory& directory, std::uint32_t mask) {
  return ::inotify_add_watch(inotify, concat({"/proc/self/fd/", decimal(directory.fd())}).c_str(), mask);
}

}  // namespace

std::unique_ptr<Watcher> Watcher::start(std::function<void(const std::shared_ptr<Mailbox>&)> changed) {
  std::unique_ptr<Watcher> watcher(new Watcher());
  watcher->changed_ = std::move(changed);
  watcher->inotify_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  watcher->wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watcher->inotify_ || !watcher->wake_) return nullptr;
  watcher->thread_ = std::thread([self = watcher.get()] { self->run(); });
  return watcher;
}

Watcher::~Watcher() {
  stop_ = true;
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

bool Watcher::add(const std::shared_ptr<Mailbox>& mailbox) {
  if (mailbox->remote()) return false;  // no events of what other hosts do
  std::lock_guard lock(mutex_);
  const int fresh = watch_fd(inotify_.get(), mailbox->fresh(), kMessages);
  const int cur = watch_fd(inotify_.get(), mailbox->cur(), kMessages);
  const int folder = watch_fd(inotify_.get(), mailbox->index_directory(), kFolder);
  watches_.emplace(fresh, Watch{mailbox, mailbox.get(), 0});
  watches_.emplace(cur, Watch{mailbox, mailbox.get(), 1});
  watches_.emplace(folder, Watch{mailbox, mailbox.get(), 2});
  return fresh >= 0 && cur >= 0 && folder >= 0;
}

void Watcher::remove(const Mailbox* mailbox) {
  std::lock_guard lock(mutex_);
  for (auto at = watches_.begin(); at != watches_.end();) {
    if (at->second.key != mailbox) {
      ++at;
      continue;
    }
    const int number = at->first;
    at = watches_.erase(at);
    if (number >= 0 && watches_.count(number) == 0) ::inotify_rm_watch(inotify_.get(), number);
  }
}

void Watcher::run() {
  alignas(inotify_event) char buffer[64 * 1024];
  while (!stop_) {
    pollfd fds[2] = {{inotify_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (stop_) return;
    std::set<std::shared_ptr<Mailbox>> disturbed;
    for (;;) {
      const auto got = ::read(inotify_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      std::lock_guard lock(mutex_);
      for (const char* at = buffer; at < buffer + got;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        at += sizeof(inotify_event) + event->len;
        if ((event->mask & IN_Q_OVERFLOW) != 0) {
          for (const auto& [number, watch] : watches_)
            if (const auto mailbox = watch.mailbox.lock()) mailbox->disturbed(true), disturbed.insert(mailbox);
          continue;
        }
        const std::string_view name = event->len > 0 ? std::string_view(event->name) : std::string_view();
        const auto [from, to] = watches_.equal_range(event->wd);
        for (auto found = from; found != to; ++found) {
          const auto mailbox = found->second.mailbox.lock();
          if (!mailbox) continue;
          const int tag = found->second.tag;
          if (tag == 2) {
            if (name == "relais.log" || name == "dovecot-uidlist" || name.empty()) disturbed.insert(mailbox);
            continue;
          }
          if (!name.empty() && mailbox->expected_event(event_hash(tag, name))) continue;
          // In `new` its time tells; in `cur` our own changes may have hidden this one from the time.
          mailbox->disturbed(tag == 1);
          disturbed.insert(mailbox);
        }
      }
    }
    for (const auto& mailbox : disturbed) changed_(mailbox);
  }
}

}  // namespace mail::store
