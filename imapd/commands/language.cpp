// LANGUAGE and COMPARATOR (RFC 5255). The one comparator is i;unicode-casemap: every comparison of text in SEARCH, SORT
// and THREAD is its.
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imap/response.h"
#include "imapd/commands/families.h"
#include "imapd/commands/name_space.h"
#include "imapd/language.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

constexpr std::string_view kComparator = "i;unicode-casemap";
constexpr std::size_t kMostArguments = 100;

/// Behind the command's name: `*(SP astring)`.
Result<std::vector<std::string>> take_words(imap::Arguments& arguments) {
  std::vector<std::string> words;
  if (arguments.at_end()) return words;
  do {
    MAIL_TRY(word, arguments.astring());
    if (words.size() == kMostArguments) return fail(Error::Kind::syntax, "Too many arguments");
    words.push_back(std::move(word));
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.end());
  return words;
}

Completion language(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(ranges, take_words(arguments));
  auto& out = session.out();
  if (ranges.empty()) {
    out += "* LANGUAGE (";
    for (const auto tag : language_tags()) out += concat({tag == language_tags().front() ? "" : " ", tag});
    out += ")\r\n";
    return ok("LANGUAGE completed");
  }
  for (const auto& range : ranges) {
    const auto found = find_language(range);
    if (!found) continue;
    session.set_language(*found);
    session.untagged(concat({"LANGUAGE (", tag_of(*found), ")"}));
    if (session.logged_in()) send_namespace(session);  // section 3.4
    return ok("LANGUAGE completed");
  }
  return no("Unsupported language");
}

/// A collation-order of RFC 4790 section 3: `-` in front reverses the order, which no command here asks for.
bool matches(std::string_view pattern) {
  if (iequals(pattern, "default")) return true;
  if (pattern.starts_with('+')) pattern.remove_prefix(1);
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == kComparator;
  const auto before = pattern.substr(0, star), after = pattern.substr(star + 1);
  return kComparator.size() >= before.size() + after.size() && kComparator.starts_with(before) &&
         kComparator.ends_with(after);
}

Completion comparator(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(patterns, take_words(arguments));
  if (!patterns.empty() && std::ranges::none_of(patterns, [](const std::string& p) { return matches(p); }))
    return no("[BADCOMPARATOR] No matching comparator");
  session.untagged(concat({"COMPARATOR ", kComparator}));
  return ok("COMPARATOR completed");
}

constexpr std::array kLanguageCommands{
    Command{.name = "LANGUAGE", .run = language, .states = kAny, .capability = "LANGUAGE"},
    Command{.name = "COMPARATOR", .run = comparator, .capability = "I18NLEVEL=2"},
};

}  // namespace

std::span<const Command> language_commands() { return kLanguageCommands; }

}  // namespace mail::imapd
