#include "base/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "base/strings.h"
#include "base/unique_fd.h"

namespace mail {
namespace {

struct PipeEnds {
  UniqueFd read, write;
};
Result<PipeEnds> make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe");
  return PipeEnds{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

struct ChildPlan {
  const char* path;
  char* const* argv;
  char* const* environment;
  const char* directory;
  int input, output, input_fd, report, null;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
};

/// After fork(): only calls that are safe there. What fails is told through the close-on-exec pipe.
[[noreturn]] void become(const ChildPlan& plan) {
  const auto give_up = [&] {
    const int number = errno;
    if (write(plan.report, &number, sizeof number) < 0) _exit(127);
    _exit(127);
  };
  setsid();  // its own group, to be killed as one
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
  // The input may be wanted on the very number that the output has now: both are moved up first.
  const int input = fcntl(plan.input, F_DUPFD_CLOEXEC, 100);
  const int output = fcntl(plan.output, F_DUPFD_CLOEXEC, 100);
  if (input < 0 || output < 0) give_up();
  if (plan.input_fd != 0 && dup2(plan.null, 0) < 0) give_up();
  if (dup2(input, plan.input_fd) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) give_up();
  if (plan.gid && (setgroups(1, &*plan.gid) != 0 || setresgid(*plan.gid, *plan.gid, *plan.gid) != 0)) give_up();
  if (plan.uid && setresuid(*plan.uid, *plan.uid, *plan.uid) != 0) give_up();
  if (plan.uid && *plan.uid != 0 && setuid(0) == 0) _exit(127);  // the drop did not hold
  if (chdir(plan.directory) != 0) give_up();
  execve(plan.path, plan.argv, plan.environment);
  give_up();
  _exit(127);
}

/// uid and gid of a process that has ended but was not waited for yet.
void read_ids(pid_t pid, Finished& finished) {
  std::array<char, 64> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/status", pid);
  const UniqueFd fd(open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!fd) return;
  std::array<char, 4096> text{};
  const auto count = read(fd.get(), text.data(), text.size());
  if (count <= 0) return;
  for (const auto line : split({text.data(), static_cast<std::size_t>(count)}, '\n')) {
    const auto words = split_words(line);
    if (words.size() < 5) continue;
    if (words[0] == "Uid:") finished.uid = parse_decimal<uid_t>(words[2]);
    if (words[0] == "Gid:") finished.gid = parse_decimal<gid_t>(words[2]);
  }
}

/// Feeds the input and reads the output until both ends are done or the time is over. @return false when it is over.
bool converse(const Command& command, UniqueFd& input, UniqueFd& output, std::string& kept) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + command.time;
  auto rest = command.input;
  if (rest.empty()) input.reset();
  fcntl(output.get(), F_SETFL, O_NONBLOCK);
  if (input) fcntl(input.get(), F_SETFL, O_NONBLOCK);
  std::array<char, 16384> buffer;
  while (output) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return false;
    std::array<pollfd, 2> fds{{{output.get(), POLLIN, 0}, {input.get(), POLLOUT, 0}}};
    if (poll(fds.data(), input ? 2 : 1, static_cast<int>(std::min<long long>(left, 1000))) < 0 && errno != EINTR)
      return false;
    if (fds[0].revents != 0) {
      const auto count = read(output.get(), buffer.data(), buffer.size());
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) output.reset();
      if (count > 0)
        kept.append(buffer.data(), std::min(static_cast<std::size_t>(count), command.output_octets - kept.size()));
    }
    if (input && fds[1].revents != 0) {
      const auto count = write(input.get(), rest.data(), rest.size());  // SIGPIPE is ignored by every program of ours
      if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
      if (rest.empty() || (count < 0 && errno != EAGAIN && errno != EINTR)) input.reset();
    }
  }
  return true;
}

/// Waits until the process has ended, without reaping it. @return false when the time is over.
bool wait_until(pid_t pid, std::chrono::steady_clock::time_point end) {
  for (useconds_t pause = 200;; pause = std::min<useconds_t>(pause * 2, 50000)) {
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | WNOHANG) != 0) return errno != EINTR;
    if (info.si_pid == pid) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    usleep(pause);
  }
}

}  // namespace

Result<Finished> run(const Command& command) {
  if (command.argv.empty()) return fail(Error::Kind::permanent, "no command");
  MAIL_TRY(input, make_pipe());
  MAIL_TRY(output, make_pipe());
  MAIL_TRY(report, make_pipe());
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto argv = pointers(command.argv), environment = pointers(command.environment);
  const ChildPlan plan{argv[0],          argv.data(),        environment.data(), command.directory.c_str(),
                       input.read.get(), output.write.get(), command.input_fd,   report.write.get(),
                       null.get(),       command.uid,        command.gid};
  const auto end = std::chrono::steady_clock::now() + command.time;
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork for", command.argv[0]);
  if (pid == 0) become(plan);
  input.read.reset(), output.write.reset(), report.write.reset();
  int failed = 0;
  const auto told = read(report.read.get(), &failed, sizeof failed);
  if (told == sizeof failed) {
    waitpid(pid, nullptr, 0);
    return fail_errno("start", command.argv[0], failed);
  }
  Finished finished;
  finished.timed_out = !converse(command, input.write, output.read, finished.output) || !wait_until(pid, end);
  if (finished.timed_out) kill(-pid, SIGKILL), kill(pid, SIGKILL);
  wait_until(pid, std::chrono::steady_clock::time_point::max());
  read_ids(pid, finished);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
  return finished;
}

namespace {

auto bad_command(std::string_view what, std::string_view command) {
  return fail(Error::Kind::syntax, concat({what, ": ", printable(command.substr(0, 80))}));
}

}  // namespace

Result<std::vector<std::string>> split_command(std::string_view command) {
  std::vector<std::string> argv;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (c == '\0') return bad_command("NUL in a command", command);
    if (c == '\\' && quote != '\'' && i + 1 < command.size()) {
      word += command[++i], in_word = true;
    } else if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '"' || c == '\'') {
      quote = c, in_word = true;
    } else if (is_white(static_cast<unsigned char>(c))) {
      if (in_word) argv.push_back(std::move(word));
      word.clear(), in_word = false;
    } else {
      word += c, in_word = true;
    }
  }
  if (quote != 0) return bad_command("quote is not closed", command);
  if (in_word) argv.push_back(std::move(word));
  // `|"/usr/bin/prog arg"`: the whole command was quoted once more.
  if (argv.size() == 1 && argv[0].find(' ') != std::string::npos && argv[0] != command) return split_command(argv[0]);
  if (argv.empty() || !argv[0].starts_with('/')) return bad_command("a command needs an absolute path", command);
  return argv;
}

}  // namespace mail
