// aliases(5) as sendmail and Postfix have it: `name: target, target`, continuation lines, "quoted names",
// :include:/file, |command, /file, and
// `@domain:` catch-alls. Parsed to words here; what a word means for a message is route/'s.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace mail::directory {

struct AliasTarget {
  enum class Kind {
    address,  ///< text: local-part or local-part@domain
    pipe,     ///< argv: never given to a shell
    file,     ///< text: absolute path of an mbox file, or of a Maildir (ends with '/')
    include,  ///< text: absolute path of a list of targets, one or more per line
    error,    ///< `:error: text` / `error:text`: refuse with this text
    discard,  ///< /dev/null, `:blackhole:`
  } kind = Kind::address;
  std::string text;
  std::vector<std::string> argv;
  bool final = false;  ///< An address written as `\\name`: the mailbox itself, whatever aliases or .forward say.
  bool operator==(const AliasTarget&) const = default;
};

/// The right-hand side of an alias, a .forward file's or an :include: file's line(s).
/// @return syntax with the offending word. Text after '#' at the start of a word is a comment.
Result<std::vector<AliasTarget>> parse_alias_targets(std::string_view text);

struct AliasProblem {
  int line = 0;
  std::string text;
};
/// A whole aliases file. Keys are lower case: "name", "name@domain" or "@domain".
class AliasTable {
 public:
  /// Lines that cannot be understood are told in `problems`; the others count. Where the name is clear and what stands
  /// behind it is not, the entry is there without targets: its mail waits, for a slip of the pen must not bounce it.
  static AliasTable parse(std::string_view file, std::vector<AliasProblem>& problems);
  /// nullptr where there is none; empty: it cannot be understood. `key` must be lower case.
  const std::vector<AliasTarget>* find(std::string_view key) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, std::vector<AliasTarget>, Hash, std::equal_to<>> entries_;
};

}  // namespace mail::directory
