// Text for terminals, JSON and exit codes: what every command of mua shares.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mail::mua {

/// sysexits(3) for an error: temporary 75, refused 77, not_found 66, syntax 65, permanent 69.
int exit_code(const Error& error);
/// "NAME: TEXT" (mua, sendmail, mail: as it was called) on standard error, fit for a terminal; the exit code.
int complain(const Error& error);
int complain(std::string_view text, int code);

/// Text of several lines for a terminal: line ends and tabs stay, all other controls, escapes and bidi overrides do
/// not.
std::string for_terminal(std::string_view text);

/// Whole standard input, or a file, at most `most` octets.
Result<std::string> read_all(int fd, std::uint64_t most);
/// Writes all of it to standard output; false where that is gone (a closed pipe).
bool print(std::string_view text);

/// One JSON value being written, without a library's weight in every file.
class Json {
 public:
  static std::string string(std::string_view utf8);
  static std::string array(const std::vector<std::string>& values);
  /// Values are JSON already.
  static std::string object(std::initializer_list<std::pair<std::string_view, std::string>> members);
};

}  // namespace mail::mua
