#include "directory/aliases.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/logical_lines.h"
#include "base/process.h"
#include "base/strings.h"

namespace mail::directory {
namespace {

auto malformed(std::string_view what, std::string_view word) {
  return fail(Error::Kind::syntax, concat({what, ": ", printable(word.substr(0, 80))}));
}

/// One target as it stands between commas, quotes included. A comma or newline inside quotes does not end it.
std::string_view take_raw(Cursor& cursor) {
  bool quoted = false, escaped = false;
  return cursor.take_while([&](unsigned char c) {
    if (escaped) return escaped = false, true;
    if (c == '\\') return escaped = true, true;
    if (c == '"') quoted = !quoted;
    return quoted || (c != ',' && c != '\n');
  });
}

/// The inside of "…" where that is the whole word; nothing else.
std::optional<std::string> unquoted(std::string_view word) {
  if (word.size() < 2 || word.front() != '"') return std::nullopt;
  std::string out;
  for (std::size_t i = 1; i < word.size(); ++i) {
    if (word[i] == '"') return i + 1 == word.size() ? std::optional(out) : std::nullopt;
    if (word[i] == '\\' && i + 1 < word.size()) ++i;
    out += word[i];
  }
  return std::nullopt;
}

bool is_clean(std::string_view text) {
  return std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Result<AliasTarget> address_target(std::string_view word) {
  AliasTarget target;
  if (const auto open = word.rfind('<'); open != std::string_view::npos && word.ends_with('>'))
    word = word.substr(open + 1, word.size() - open - 2);
  if (word.starts_with('\\')) target.final = true, word.remove_prefix(1);
  if (word.empty()) return malformed("empty address", word);
  bool quoted = false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (quoted && word[i] == '\\') {
      ++i;
      continue;
    }
    if (word[i] == '"') quoted = !quoted;
    if (!quoted && is_white(static_cast<unsigned char>(word[i])))
      return malformed("blank in an address (a comma is missing?)", word);
  }
  if (quoted) return malformed("quote is not closed", word);
  target.text = word;
  return target;
}

Result<AliasTarget> to_target(std::string_view raw) {
  const auto inner = unquoted(raw);
  const auto word = inner ? std::string_view(*inner) : raw;
  if (!is_clean(word)) return malformed("control character", word);
  if (word.starts_with('|')) {
    MAIL_TRY(argv, split_command(word.substr(1)));
    return AliasTarget{AliasTarget::Kind::pipe, std::string(trim(word.substr(1))), argv};
  }
  if (word == "/dev/null" || iequals(word, ":blackhole:")) return AliasTarget{AliasTarget::Kind::discard, "", {}};
  if (word.starts_with('/')) {
    if (word.find("/../") != std::string_view::npos || word.ends_with("/..")) return malformed("path with ..", word);
    return AliasTarget{AliasTarget::Kind::file, std::string(word), {}};
  }
  if (istarts_with(word, ":include:")) {
    auto path = trim(word.substr(9));
    if (!path.starts_with('/')) return malformed(":include: needs an absolute path", word);
    return AliasTarget{AliasTarget::Kind::include, std::string(path), {}};
  }
  if (istarts_with(word, ":error:") || istarts_with(word, ":fail:") || istarts_with(word, "error:"))
    return AliasTarget{AliasTarget::Kind::error, std::string(trim(word.substr(word.find(':', 1) + 1))), {}};
  // "two words" without a domain is a local part that needs its quotes.
  if (inner && inner->find_first_of(" \"(),:;<>@[\\]") == std::string::npos) return address_target(*inner);
  return address_target(raw);
}

}  // namespace

Result<std::vector<AliasTarget>> parse_alias_targets(std::string_view text) {
  std::vector<AliasTarget> targets;
  Cursor cursor(text);
  while (!cursor.at_end()) {
    cursor.take_while([](unsigned char c) { return is_white(c) || c == ','; });
    if (cursor.peek() == '#') {
      cursor.take_while([](unsigned char c) { return c != '\n'; });
      continue;
    }
    const auto raw = trim(take_raw(cursor));
    if (raw.empty()) continue;
    MAIL_TRY(target, to_target(raw));
    targets.push_back(std::move(target));
  }
  return targets;
}

AliasTable AliasTable::parse(std::string_view file, std::vector<AliasProblem>& problems) {
  AliasTable table;
  for (const auto& [number, text] : logical_lines(file, '\n')) {
    std::string key;
    std::size_t colon = 0;
    if (text.front() == '"') {
      const auto end = text.find('"', 1);
      if (end != std::string::npos) key = text.substr(1, end - 1), colon = text.find_first_not_of(" \t", end + 1);
    } else {
      colon = text.find(':');
      key = trim(std::string_view(text).substr(0, colon));
    }
    if (key.empty() || colon == std::string::npos || colon >= text.size() || text[colon] != ':' ||
        std::ranges::any_of(key, [](unsigned char c) { return c < 0x20; })) {
      problems.push_back({number, "an entry is `name: target, ...`"});
      continue;
    }
    auto targets = parse_alias_targets(std::string_view(text).substr(colon + 1));
    if (!targets || targets->empty()) {
      problems.push_back({number, targets ? "no target for " + printable(key) : targets.error().text});
      table.entries_.try_emplace(to_lower(key));
      continue;
    }
    if (auto& entry = table.entries_[to_lower(key)]; entry.empty())
      entry = std::move(*targets);
    else
      problems.push_back({number, concat({printable(key), " is defined twice; the first counts"})});
  }
  return table;
}

const std::vector<AliasTarget>* AliasTable::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace mail::directory
