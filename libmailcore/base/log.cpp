#include "base/log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>

#include "base/strings.h"
#include "base/unique_fd.h"

namespace mail {

namespace {

struct LogState {
  std::mutex mutex;
  std::string program = "relais";
  LogTarget target;
  UniqueFd file;
  UniqueFd journal;
};
LogState& state() {
  static LogState instance;
  return instance;
}
std::atomic<LogLevel> least_level{LogLevel::info};

void append_value(std::string& line, std::string_view value) {
  bool plain = !value.empty();
  for (const char c : value)
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' ||
        static_cast<unsigned char>(c) >= 0x7F)
      plain = false;
  if (plain) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : printable(value)) {
    if (c == '"' || c == '\\') line += '\\';
    line += c;
  }
  line += '"';
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "info";
}

int syslog_priority(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return LOG_DEBUG;
    case LogLevel::info:
      return LOG_INFO;
    case LogLevel::warning:
      return LOG_WARNING;
    case LogLevel::error:
      return LOG_ERR;
  }
  return LOG_INFO;
}

std::string timestamp() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char text[40];
  const auto length = ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::string out(text, length);
  const auto micros = std::to_string(1000000 + now.tv_nsec / 1000);
  return out + "." + micros.substr(1) + "Z";
}

void write_all(int fd, std::string_view octets) {
  while (!octets.empty()) {
    const auto wrote = ::write(fd, octets.data(), octets.size());
    if (wrote <= 0) return;  // a log that cannot be written must not stop mail
    octets.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void to_journal(LogState& s, LogLevel level, std::string_view line) {
  if (!s.journal) s.journal = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/systemd/journal/socket");  // a constant that fits
  const auto datagram = concat(
      {"PRIORITY=", decimal(syslog_priority(level)), "\nSYSLOG_IDENTIFIER=", s.program, "\nMESSAGE=", line, "\n"});
  (void)::sendto(s.journal.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<sockaddr*>(&address), sizeof address);
}

}  // namespace

Status log_open(std::string_view program, LogTarget target, LogLevel least) {
  auto& s = state();
  const std::lock_guard lock(s.mutex);
  s.program = program;
  least_level = least;
  if (target.kind == LogTarget::Kind::file) {
    UniqueFd file(::open(target.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!file) return fail_errno("opening log file", target.path);
    s.file = std::move(file);
  }
  if (target.kind == LogTarget::Kind::syslog) ::openlog(s.program.c_str(), LOG_PID | LOG_NDELAY, LOG_MAIL);
  s.target = std::move(target);
  return {};
}

bool log_enabled(LogLevel level) { return level >= least_level.load(std::memory_order_relaxed); }

std::string log_line(std::string_view event, std::initializer_list<LogField> fields) {
  std::string line = concat({"event=", event});
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_value(line, field.value);
  }
  return line;
}

void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!log_enabled(level)) return;
  const auto line = log_line(event, fields);
  auto& s = state();
  const std::lock_guard lock(s.mutex);
  switch (s.target.kind) {
    case LogTarget::Kind::none:
      return;
    case LogTarget::Kind::syslog:
      ::syslog(syslog_priority(level), "%s", line.c_str());
      return;
    case LogTarget::Kind::journal:
      to_journal(s, level, line);
      return;
    case LogTarget::Kind::standard_error:
    case LogTarget::Kind::file: {
      const auto whole =
          concat({timestamp(), " ", level_name(level), " ", s.program, "[", decimal(::getpid()), "] ", line, "\n"});
      write_all(s.target.kind == LogTarget::Kind::file ? s.file.get() : STDERR_FILENO, whole);
      return;
    }
  }
}

}  // namespace mail
