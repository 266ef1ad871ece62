// One line per event: `event=NAME id=... key=value ...`. Passwords, tokens and message bodies never come here.
#pragma once
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace mail {

enum class LogLevel { debug, info, warning, error };

/// One `key=value` of a line. Values are quoted where they hold blanks, quotes, '=' or anything not printable, which is
/// escaped: nothing from the network can start a line or forge a key.
struct LogField {
  std::string_view key;
  std::string value;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  template <std::integral T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
};

struct LogTarget {
  enum class Kind { standard_error, syslog, file, journal, none } kind = Kind::standard_error;
  std::string path;  ///< For file.
};

/// Sets where the lines of this process go; `program` is the syslog identity and the first field. May be called again
/// (SIGHUP reopens files).
Status log_open(std::string_view program, LogTarget target, LogLevel least);
/// Writes one line, from any thread. `event` is a constant: `log_event(LogLevel::info, "accepted", {{"id", id},
/// {"octets", n}})`.
void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
bool log_enabled(LogLevel level);

/// The line without time and newline: what log_event writes (and the tests read).
std::string log_line(std::string_view event, std::initializer_list<LogField> fields);

}  // namespace mail
