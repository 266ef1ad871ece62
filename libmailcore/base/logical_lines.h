// Text files of entries (aliases, maps): one to a line, and a line that begins with a blank goes on with the one
// before.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace mail {

struct LogicalLine {
  int number;  ///< Of its first line, from 1.
  std::string text;
};
/// Empty lines and those that begin with # are left out and end no entry. `joint` stands where a line went on.
std::vector<LogicalLine> logical_lines(std::string_view file, char joint);

}  // namespace mail
