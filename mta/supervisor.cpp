#include "mta/supervisor.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/id.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "net/daemon.h"

namespace mail::mta {
namespace {

using Time = std::chrono::steady_clock::time_point;
constexpr auto kRestartAfter = std::chrono::seconds(1);

/// Puts the child's name behind the program's where ps(1) reads them: argv's strings, which lie in one piece.
void show_name(char** argv, const std::string& name) {
  if (argv[0] == nullptr) return;
  std::string text = concat({"mta", std::string_view("\0", 1), name});
  char* end = argv[0];
  for (int i = 0; argv[i] != nullptr && argv[i] == end; ++i) {
    if (i > 0) text.append(1, '\0').append(argv[i]);
    end = argv[i] + std::strlen(argv[i]) + 1;
  }
  const auto room = static_cast<std::size_t>(end - argv[0]);
  text.resize(room - 1);
  std::memcpy(argv[0], text.c_str(), room);
}

class Supervisor {
 public:
  Supervisor(std::vector<SupervisedChild> children, char** argv) : argv_(argv) {
    for (auto& child : children) children_.push_back({.what = std::move(child)});
  }
  int run();

 private:
  struct Child {
    SupervisedChild what;
    pid_t pid = 0;
    bool ready = false;
    bool ever_ready = false;
    Time start_at{};
  };
  bool open();
  void start(Child& child);
  [[noreturn]] void become(const Child& child);
  void on_signals();
  void on_notes();
  void reap();
  void tell_all(int signal);
  int wait_milliseconds() const;

  char** argv_;
  std::vector<Child> children_;
  sigset_t signals_{};
  UniqueFd signal_fd_, notes_;
  std::string notes_name_;
  bool stopping_ = false;
  bool told_ready_ = false;
  int code_ = net::kExitOk;
};

bool Supervisor::open() {
  sigemptyset(&signals_);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals_, signal);
  sigprocmask(SIG_BLOCK, &signals_, nullptr);
  signal_fd_.reset(signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
  // The children tell us what they would tell systemd, which listens to the main process only.
  notes_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  notes_name_ = concat({"@relais-mta-", random_token(16)});
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, notes_name_.data() + 1, notes_name_.size() - 1);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + notes_name_.size());
  const int on = 1;
  if (notes_) setsockopt(notes_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);  // the kernel names the sender
  return signal_fd_ && notes_ && bind(notes_.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0;
}

void Supervisor::become(const Child& child) {
  sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // killed with -9, the parent takes the children along
  setenv("NOTIFY_SOCKET", notes_name_.c_str(), 1);
  if (std::getenv("LISTEN_FDS") != nullptr) setenv("LISTEN_PID", decimal(getpid()).c_str(), 1);
  signal_fd_.reset();
  notes_.reset();
  show_name(argv_, child.what.name);
  std::exit(child.what.run());
}

void Supervisor::start(Child& child) {
  const pid_t pid = fork();
  if (pid == 0) become(child);
  child.ready = false;
  child.pid = pid > 0 ? pid : 0;
  child.start_at = std::chrono::steady_clock::now() + kRestartAfter;
  if (pid < 0) log_event(LogLevel::error, "start-failed", {{"text", std::strerror(errno)}});
}

void Supervisor::tell_all(int signal) {
  for (const auto& child : children_)
    if (child.pid != 0) kill(child.pid, signal);
}

void Supervisor::on_signals() {
  signalfd_siginfo info{};
  while (read(signal_fd_.get(), &info, sizeof info) == sizeof info) {
    switch (info.ssi_signo) {
      case SIGHUP:
        tell_all(SIGHUP);
        break;
      case SIGTERM:
      case SIGINT:
        stopping_ = true;
        net::notify_stopping();
        tell_all(SIGTERM);
        break;
      default:
        reap();
    }
  }
}

void Supervisor::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto child = std::ranges::find(children_, pid, &Child::pid);
    if (child == children_.end()) continue;
    child->pid = 0;
    child->start_at = std::chrono::steady_clock::now() + kRestartAfter;
    if (stopping_) continue;
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    log_event(LogLevel::error, "child_ended",
              {{"child", child->what.name}, {"exit", code}, {"signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0}});
    // What is wrong in the configuration does not get better by trying.
    if (!child->ever_ready && code >= net::kExitUsage && code <= net::kExitConfig) {
      code_ = code;
      stopping_ = true;
      tell_all(SIGTERM);
    }
  }
}

void Supervisor::on_notes() {
  char text[256];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  for (;;) {
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const auto octets = recvmsg(notes_.get(), &message, MSG_CMSG_CLOEXEC);
    if (octets <= 0) break;
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_CREDENTIALS) continue;
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
    const auto child = std::ranges::find(children_, sender.pid, &Child::pid);
    if (child == children_.end() || !std::string_view(text, static_cast<std::size_t>(octets)).starts_with("READY=1"))
      continue;
    child->ready = child->ever_ready = true;
  }
  if (told_ready_ || !std::ranges::all_of(children_, &Child::ready)) return;
  told_ready_ = true;
  log_event(LogLevel::info, "ready", {{"pid", getpid()}, {"children", children_.size()}});
  net::notify_ready();
  drop_unused_code();  // all that is left to do is to wait
}

int Supervisor::wait_milliseconds() const {
  const auto now = std::chrono::steady_clock::now();
  int wait = -1;
  for (const auto& child : children_) {
    if (child.pid != 0 || stopping_) continue;
    const auto left = std::max<std::int64_t>(
        0, std::chrono::duration_cast<std::chrono::milliseconds>(child.start_at - now).count() + 1);
    wait = wait < 0 ? static_cast<int>(left) : std::min(wait, static_cast<int>(left));
  }
  return wait;
}

int Supervisor::run() {
  if (!open()) {
    log_event(LogLevel::error, "start-failed", {{"text", std::strerror(errno)}});
    return net::kExitSoftware;
  }
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    for (auto& child : children_)
      if (!stopping_ && child.pid == 0 && child.start_at <= now) start(child);
    if (stopping_ && std::ranges::all_of(children_, [](const Child& child) { return child.pid == 0; })) return code_;
    pollfd waits[] = {{signal_fd_.get(), POLLIN, 0}, {notes_.get(), POLLIN, 0}};
    poll(waits, 2, wait_milliseconds());
    if (waits[1].revents != 0) on_notes();
    if (waits[0].revents != 0) on_signals();
  }
}

}  // namespace

int supervise(std::vector<SupervisedChild> children, char** argv) {
  return Supervisor(std::move(children), argv).run();
}

}  // namespace mail::mta
