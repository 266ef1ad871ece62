#include "directory/passwd_file.h"

#include <algorithm>
#include <map>

#include "base/strings.h"

namespace mail::directory {
namespace {

std::optional<std::uint64_t> parse_size(std::string_view text, std::uint64_t plain_unit) {
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(static_cast<unsigned char>(text[digits]))) ++digits;
  const auto number = parse_decimal(text.substr(0, digits));
  if (!number) return std::nullopt;
  auto unit = to_lower(trim(text.substr(digits)));
  if (unit.ends_with("ib"))
    unit.resize(unit.size() - 2);
  else if (unit.size() == 2 && unit.ends_with('b'))
    unit.resize(1);
  static const std::map<std::string, std::uint64_t> kUnits{
      {"b", 1}, {"k", 1ULL << 10}, {"m", 1ULL << 20}, {"g", 1ULL << 30}, {"t", 1ULL << 40}};
  if (unit.empty()) return *number * plain_unit;
  const auto found = kUnits.find(unit);
  if (found == kUnits.end() || *number > UINT64_MAX / found->second) return std::nullopt;
  return *number * found->second;
}

/// The extra fields: key=value separated by blanks; `\ ` is not known to Dovecot either.
bool take_extra(std::string_view text, PasswdEntry& entry, std::string& wrong) {
  for (const auto word : split_words(text)) {
    auto [key, value] = split_once(word, '=');
    if (key == "nologin") {
      entry.user.login_allowed = false;
    } else if (key == "userdb_mail" || key == "userdb_mail_path") {
      entry.user.mail = value;
    } else if (key == "userdb_quota_rule") {
      if (!parse_quota_rule(value, entry.user)) return wrong = word, false;
    } else if (key == "userdb_quota_storage_size") {
      const auto octets = parse_size(value, 1);
      if (!octets) return wrong = word, false;
      entry.user.quota_octets = *octets;
    } else {
      if (key.starts_with("userdb_")) key.remove_prefix(7);
      entry.user.extra.emplace_back(key, value);
    }
  }
  return true;
}

std::string_view scheme_of(std::string_view password) {
  if (!password.starts_with('{'))
    return password.substr(0, password.starts_with('$') ? std::min<std::size_t>(password.find('$', 1), 8) : 0);
  return password.substr(0, password.find('}') + 1);
}

template <class Id>
bool take_id(std::string_view text, std::optional<Id>& id) {
  if (text.empty()) return true;
  id = parse_decimal<Id>(text);
  return id.has_value();
}

/// The fields of one line. The home may hold no colon; the extra fields may.
std::optional<std::string> parse_line(std::string_view line, PasswdEntry& entry) {
  std::vector<std::string_view> fields;
  while (fields.size() < 7) {
    const auto colon = line.find(':');
    fields.push_back(line.substr(0, colon));
    if (colon == std::string_view::npos) break;
    line.remove_prefix(colon + 1);
    if (fields.size() == 7) fields.push_back(line);
  }
  fields.resize(8);
  entry.user.name = trim(fields[0]);
  if (!is_sane_name(entry.user.name)) return "the user name cannot be used: no '/', no control characters";
  entry.password = fields[1];
  if (!take_id(fields[2], entry.user.uid)) return "uid is not a number";
  if (!take_id(fields[3], entry.user.gid)) return "gid is not a number";
  entry.user.full_name = fields[4];
  entry.user.home = fields[5];
  if (!entry.user.home.empty() && !entry.user.home.starts_with('/'))
    return "the home directory is not an absolute path";
  std::string wrong;
  if (!take_extra(fields[7], entry, wrong)) return concat({"extra field ", printable(wrong), " cannot be understood"});
  return std::nullopt;
}

}  // namespace

bool is_sane_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == ".." || name.starts_with('@')) return false;
  return std::ranges::none_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '/' || c == ':'; });
}

bool parse_quota_rule(std::string_view rule, User& user) {
  const auto [mailbox, limits] = split_once(rule, ':');
  if (mailbox.empty() || limits.empty()) return false;
  for (const auto limit : split(limits, ':')) {
    const auto [key, value] = split_once(limit, '=');
    if (mailbox != "*" || key == "ignore" || value.starts_with('+') || value.starts_with('-')) continue;
    const auto number = parse_size(value, key == "storage" ? 1024 : 1);
    if (!number) return false;
    if (key == "storage" || key == "bytes")
      user.quota_octets = *number;
    else if (key == "messages")
      user.quota_messages = *number;
    else
      return false;
  }
  return true;
}

PasswdTable parse_passwd_file(std::string_view file, std::vector<PasswdProblem>& problems) {
  PasswdTable table;
  std::map<std::string, std::pair<int, std::string>, std::less<>> schemes;
  int number = 0;
  for (auto line : split(file, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (trim(line).empty() || line.front() == '#') continue;
    PasswdEntry entry;
    if (const auto problem = parse_line(line, entry)) {
      problems.push_back({number, *problem});
      continue;
    }
    if (!sasl::has_known_scheme(entry.password))
      table.doubts.push_back({number, concat({"unknown password scheme ", printable(scheme_of(entry.password)),
                                              ": this user cannot log in"})});
    auto& [count, example] = schemes[std::string(scheme_of(entry.password))];
    if (++count == 1) example = entry.password;
    table.all_plain = table.all_plain && sasl::plain_secret(entry.password).has_value();
    const bool plain = sasl::plain_secret(entry.password).has_value();
    table.all_scram_sha1 = table.all_scram_sha1 && (plain || istarts_with(entry.password, "{SCRAM-SHA-1}"));
    table.all_scram_sha256 = table.all_scram_sha256 && (plain || istarts_with(entry.password, "{SCRAM-SHA-256}"));
    auto key = to_lower(entry.user.name);
    if (!table.by_name.try_emplace(std::move(key), std::move(entry)).second)
      problems.push_back({number, "the user is defined twice; the first entry counts"});
  }
  int most = 0;
  for (const auto& [scheme, usual] : schemes)
    if (usual.first > most) most = usual.first, table.usual_password = usual.second;
  return table;
}

Status set_mail_location(User& user, std::string_view pattern, std::string_view default_domain) {
  const std::string text(user.mail.empty() ? pattern : std::string_view(user.mail));
  std::string_view rest(text);
  if (istarts_with(rest, "maildir:")) rest.remove_prefix(8);
  if (istarts_with(rest, "mbox:")) {
    user.mbox = true;
    rest.remove_prefix(5);
    if (const auto inbox = rest.find(":INBOX="); inbox != std::string_view::npos) rest.remove_prefix(inbox + 7);
  }
  rest = rest.substr(0, rest.find(':'));  // Dovecot's further parameters (LAYOUT=, INDEX=) are ours to decide
  const auto at = user.name.rfind('@');
  const std::string local_part = user.name.substr(0, at),
                    domain = at == std::string::npos ? std::string(default_domain) : user.name.substr(at + 1);
  if (!is_sane_name(local_part) || (!domain.empty() && !is_sane_name(domain)))
    return fail(Error::Kind::permanent, concat({"user ", printable(user.name), ": the name cannot be in a path"}));
  std::string out;
  bool needs_home = false;
  if (rest.starts_with("~/")) {
    needs_home = true;
    out = user.home;
    rest.remove_prefix(1);
  }
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] != '%' || i + 1 == rest.size()) {
      out += rest[i];
      continue;
    }
    switch (rest[++i]) {
      case 'u':
        out += user.name;
        break;
      case 'n':
        out += local_part;
        break;
      case 'd':
        out += domain;
        break;
      case 'h':
        out += user.home, needs_home = true;
        break;
      default:
        out += rest[i];
        break;
    }
  }
  if (needs_home && user.home.empty())
    return fail(Error::Kind::permanent,
                concat({"user ", printable(user.name), " has no home directory, and the place of the mail needs one"}));
  if (!out.starts_with('/'))
    return fail(Error::Kind::permanent,
                concat({"user ", printable(user.name), ": the place of the mail is not an absolute path"}));
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  user.mail = std::move(out);
  return {};
}

}  // namespace mail::directory
