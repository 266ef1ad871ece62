#include "store/text_file.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"

namespace mail::store {

std::string tab_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\0':
        out += "\0010";
        break;
      case '\1':
        out += "\0011";
        break;
      case '\t':
        out += "\001t";
        break;
      case '\n':
        out += "\001n";
        break;
      case '\r':
        out += "\001r";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string tab_unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\1' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
      case '0':
        out += '\0';
        break;
      case '1':
        out += '\1';
        break;
      case 't':
        out += '\t';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      default:
        out += text[i];
    }
  }
  return out;
}

std::vector<std::vector<std::string>> parse_subscriptions(std::string_view text, char separator) {
  std::vector<std::vector<std::string>> out;
  auto lines = split(text, '\n');
  const bool second = !lines.empty() && lines.front() == "V\t2";
  if (second) lines.erase(lines.begin());
  for (const auto line : lines) {
    if (line.empty()) continue;
    std::vector<std::string> parts;
    for (const auto part : split(line, second ? '\t' : separator))
      parts.push_back(second ? tab_unescape(part) : std::string(part));
    if (std::all_of(parts.begin(), parts.end(), [](const auto& part) { return !part.empty(); }))
      out.push_back(std::move(parts));
  }
  return out;
}

std::string format_subscriptions(const std::vector<std::vector<std::string>>& names) {
  std::string out = "V\t2\n\n";
  for (const auto& parts : names) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i > 0) out += '\t';
      out += tab_escape(parts[i]);
    }
    out += '\n';
  }
  return out;
}

std::map<std::string, std::string> parse_properties(std::string_view text) {
  std::map<std::string, std::string> out;
  for (const auto line : split(text, '\n')) {
    const auto [key, value] = split_once(line, '\t');
    if (!key.empty() && line.find('\t') != std::string_view::npos) out[tab_unescape(key)] = tab_unescape(value);
  }
  return out;
}

std::string format_properties(const std::map<std::string, std::string>& properties) {
  std::string out;
  for (const auto& [key, value] : properties) out += concat({tab_escape(key), "\t", tab_escape(value), "\n"});
  return out;
}

namespace {
struct RightWord {
  char letter;
  std::string_view word;
};
/// The words that Dovecot writes after ':'.
constexpr RightWord kRightWords[] = {{'l', "lookup"},        {'r', "read"},   {'w', "write"}, {'s', "write-seen"},
                                     {'t', "write-deleted"}, {'i', "insert"}, {'p', "post"},  {'e', "expunge"},
                                     {'k', "create"},        {'x', "delete"}, {'a', "admin"}};
}  // namespace

std::map<std::string, std::string> parse_acl(std::string_view text) {
  std::map<std::string, std::string> out;
  for (auto line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    std::string identifier;
    if (line.front() == '"') {
      std::size_t i = 1;
      for (; i < line.size() && line[i] != '"'; ++i) {
        if (line[i] == '\\' && i + 1 < line.size()) ++i;
        identifier += line[i];
      }
      line.remove_prefix(std::min(i + 1, line.size()));
    } else {
      const auto end = std::min(line.find_first_of(" \t"), line.size());
      identifier = std::string(line.substr(0, end));
      line.remove_prefix(end);
    }
    std::string rights;
    for (const auto word : split_words(line)) {
      if (!word.starts_with(':')) {
        rights += word;
        continue;
      }
      for (const auto& right : kRightWords)
        if (word.substr(1) == right.word) rights += right.letter;
    }
    std::sort(rights.begin(), rights.end());
    rights.erase(std::unique(rights.begin(), rights.end()), rights.end());
    out[identifier] = rights;
  }
  return out;
}

std::string format_acl(const std::map<std::string, std::string>& entries) {
  std::string out;
  for (const auto& [identifier, rights] : entries) {
    if (identifier.find_first_of(" \t\"\\") == std::string::npos) {
      out += identifier;
    } else {
      out += '"';
      for (const char c : identifier) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
      }
      out += '"';
    }
    out += ' ';
    out += rights;
    out += '\n';
  }
  return out;
}

std::optional<Maildirsize> parse_maildirsize(std::string_view text) {
  const auto lines = split(text, '\n');
  if (lines.empty()) return std::nullopt;
  Maildirsize out;
  for (auto limit : split(trim(lines.front()), ',')) {
    if (limit.size() < 2) continue;
    const auto value = parse_decimal<std::uint64_t>(limit.substr(0, limit.size() - 1));
    if (!value) return std::nullopt;
    if (limit.back() == 'S')
      out.limits.octets = *value;
    else if (limit.back() == 'C')
      out.limits.messages = *value;
  }
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto words = split_words(lines[i]);
    if (words.size() != 2) continue;
    const auto octets = parse_decimal<std::int64_t>(words[0]), messages = parse_decimal<std::int64_t>(words[1]);
    if (!octets || !messages) return std::nullopt;
    if (__builtin_add_overflow(out.octets, *octets, &out.octets) ||
        __builtin_add_overflow(out.messages, *messages, &out.messages))
      return std::nullopt;
  }
  return out;
}

std::string format_maildirsize(const QuotaLimits& limits, const QuotaUsage& usage) {
  std::string out;
  if (limits.octets != 0) out += decimal(limits.octets) + "S";
  if (limits.messages != 0) out += concat({out.empty() ? "" : ",", decimal(limits.messages), "C"});
  return out + concat({"\n", decimal(usage.octets), " ", decimal(usage.messages), "\n"});
}

}  // namespace mail::store
