#include "store/watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "store/mailbox_core.h"

namespace mail::store {

namespace {

constexpr std::uint32_t kMessages = IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF;
/// Our log and Dovecot's uid list; a name of their own for what other programs replace.
constexpr std::uint32_t kFolder = IN_MOVED_TO | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF;

constexpr auto kGather = std::chrono::milliseconds(1);

int watch_fd(int inotify, const Directory& directory, std::uint32_t mask) {
  // One directory may be watched for several reasons: the kernel keeps one mask for all of them.
  return ::inotify_add_watch(inotify, concat({"/proc/self/fd/", decimal(directory.fd())}).c_str(),
                             mask | IN_MASK_ADD | IN_ONLYDIR);
}

std::size_t most_directories() {
  static const std::size_t kMost = [] {
    const auto text = read_file_at("/proc/sys/fs/inotify/max_user_watches", 32);
    return (text ? parse_decimal<std::size_t>(trim(*text)).value_or(8192) : 8192) / 2;
  }();
  return kMost;
}

}  // namespace

bool on_network(int fd) {
  constexpr std::array<std::uint32_t, 13> kTypes{
      0x6969,     0x517B,     0xFF534D42, 0xFE534D42, 0x00C36400, 0x65735546, 0x01021997,  // NFS, SMB, Ceph, FUSE, 9P
      0x5346414F, 0x6B414653, 0x73757245, 0x7461636F, 0x01161970, 0x0BD00BD0};  // AFS, Coda, OCFS2, GFS2, Lustre
  struct statfs found {};
  if (::fstatfs(fd, &found) != 0) return false;
  return std::find(kTypes.begin(), kTypes.end(), static_cast<std::uint32_t>(found.f_type)) != kTypes.end();
}

std::shared_ptr<Watcher> Watcher::start(std::function<void(const std::shared_ptr<Mailbox>&)> changed) {
  std::shared_ptr<Watcher> watcher(new Watcher());
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
  watches_.emplace(fresh, Watch{mailbox, mailbox.get(), 0, nullptr, false});
  watches_.emplace(cur, Watch{mailbox, mailbox.get(), 1, nullptr, false});
  watches_.emplace(folder, Watch{mailbox, mailbox.get(), 2, nullptr, false});
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

std::shared_ptr<void> Watcher::add_directory(const Directory& directory, std::uint32_t events, bool names,
                                             Happened happened) {
  auto call = std::make_shared<const Happened>(std::move(happened));
  std::lock_guard lock(mutex_);
  if (directories_ >= most_directories()) return nullptr;
  const int number = watch_fd(inotify_.get(), directory, events);
  if (number < 0) return nullptr;
  watches_.emplace(number, Watch{{}, nullptr, 0, call, names});
  ++directories_;
  return std::shared_ptr<void>(this, [self = weak_from_this(), number, key = call.get()](void*) {
    if (const auto watcher = self.lock()) watcher->remove_directory(number, key);
  });
}

void Watcher::remove_directory(int number, const Happened* happened) {
  std::lock_guard lock(mutex_);
  const auto [from, to] = watches_.equal_range(number);
  for (auto at = from; at != to; ++at) {
    if (at->second.happened.get() != happened) continue;
    watches_.erase(at);
    --directories_;
    break;
  }
  if (watches_.count(number) == 0) ::inotify_rm_watch(inotify_.get(), number);
}

void Watcher::disturb(const Watch& watch, std::string_view name, std::set<std::shared_ptr<Mailbox>>& disturbed) {
  const auto mailbox = watch.mailbox.lock();
  if (!mailbox) return;
  if (watch.tag == 2) {
    if (name == "relais.log" || name == "dovecot-uidlist" || name.empty()) disturbed.insert(mailbox);
    return;
  }
  if (!name.empty() && mailbox->expected_event(event_hash(watch.tag, name))) return;
  // In `new` its time tells; in `cur` our own changes may have hidden this one from the time.
  mailbox->disturbed(watch.tag == 1);
  disturbed.insert(mailbox);
}

void Watcher::take_events(std::string_view events, std::set<std::shared_ptr<Mailbox>>& disturbed, Calls& calls) {
  std::lock_guard lock(mutex_);
  while (!events.empty()) {
    const auto* event = reinterpret_cast<const inotify_event*>(events.data());
    events.remove_prefix(sizeof(inotify_event) + event->len);
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
      for (const auto& [number, watch] : watches_) {
        if (watch.happened) calls.emplace(watch.happened, std::string());
        if (const auto mailbox = watch.mailbox.lock()) mailbox->disturbed(true), disturbed.insert(mailbox);
      }
      continue;
    }
    const std::string_view name = event->len > 0 ? std::string_view(event->name) : std::string_view();
    const auto [from, to] = watches_.equal_range(event->wd);
    for (auto found = from; found != to; ++found) {
      const auto& watch = found->second;
      if (!watch.happened)
        disturb(watch, name, disturbed);
      else if (!name.empty() || !watch.names)
        calls.emplace(watch.happened, watch.names ? name : std::string_view());
    }
  }
}

void Watcher::run() {
  alignas(inotify_event) char buffer[64 * 1024];
  while (!stop_) {
    pollfd fds[2] = {{inotify_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (stop_) return;
    // A change is several events, and changes come in crowds: one look at them all, so that this thread does not wake
    // for each while others work.
    std::this_thread::sleep_for(kGather);
    std::set<std::shared_ptr<Mailbox>> disturbed;
    Calls calls;
    for (;;) {
      const auto got = ::read(inotify_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      take_events({buffer, static_cast<std::size_t>(got)}, disturbed, calls);
    }
    for (const auto& mailbox : disturbed) changed_(mailbox);
    for (const auto& [happened, name] : calls) (*happened)(name);
  }
}

}  // namespace mail::store
