#include "base/logical_lines.h"

#include "base/strings.h"

namespace mail {

std::vector<LogicalLine> logical_lines(std::string_view file, char joint) {
  std::vector<LogicalLine> lines;
  int number = 0;
  for (const auto line : split(file, '\n')) {
    ++number;
    const auto content = trim(line);
    if (content.empty() || content.starts_with('#')) continue;
    if (is_space(static_cast<unsigned char>(line.front())) && !lines.empty())
      lines.back().text.append(1, joint).append(content);
    else
      lines.push_back({number, std::string(content)});
  }
  return lines;
}

}  // namespace mail
