// Aliases, .forward files and commands: users write them. Parsing never crashes, and no argv begins with a relative
// path.
#include <cstdint>
#include <cstdlib>

#include "directory/aliases.h"
#include "directory/passwd_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::directory;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<AliasProblem> problems;
  static_cast<void>(AliasTable::parse(text, problems));
  if (const auto targets = parse_alias_targets(text))
    for (const auto& target : *targets)
      if (target.kind == AliasTarget::Kind::pipe && (target.argv.empty() || !target.argv[0].starts_with('/')))
        std::abort();
  std::vector<PasswdProblem> lines;
  for (const auto& [name, entry] : parse_passwd_file(text, lines).by_name)
    if (!is_sane_name(entry.user.name)) std::abort();
  return 0;
}
