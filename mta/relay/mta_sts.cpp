#include "mta/relay/mta_sts.h"

#include <algorithm>

#include "base/strings.h"
#include "route/router.h"

namespace mail::relay {

namespace {

constexpr std::string_view kVersion = "STSv1";
constexpr std::int64_t kMostAge = 31557600;  // section 3.2
constexpr std::size_t kMostNameOctets = 32;

/// ALPHA / DIGIT, then up to 31 of these and "_", "-", ".".
bool is_field_name(std::string_view name) {
  return !name.empty() && name.size() <= kMostNameOctets && is_alnum(static_cast<unsigned char>(name.front())) &&
         std::ranges::all_of(name, [](unsigned char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; });
}

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && is_space(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && is_space(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

/// The id of one record whose version is known to be right.
std::optional<std::string> id_of(std::string_view record) {
  std::optional<std::string> id;
  bool first = true;
  const auto fields = split(record, ';');
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto field = without_blanks(fields[i]);
    if (std::exchange(first, false)) continue;              // v=STSv1
    if (field.empty() && i + 1 == fields.size()) continue;  // behind the last delimiter
    const auto [name, value] = split_once(field, '=');
    const bool plain = !value.empty() && std::ranges::all_of(value, [](unsigned char c) {
      return c > ' ' && c < 0x7f && c != '=' && c != ';';
    });
    if (!is_field_name(name) || !plain) return std::nullopt;
    if (name != "id" || id) continue;
    if (value.size() > kMostNameOctets || !std::ranges::all_of(value, [](unsigned char c) { return is_alnum(c); }))
      return std::nullopt;
    id = value;
  }
  return id;
}

std::optional<StsPolicy::Mode> mode_of(std::string_view word) {
  for (const auto mode : {StsPolicy::Mode::none, StsPolicy::Mode::testing, StsPolicy::Mode::enforce})
    if (word == to_string(mode)) return mode;
  return std::nullopt;
}

/// Calls `take(name, value)` for each line until it says false. @return false where a line is none
template <class Take>
bool for_each_field(std::string_view text, Take take) {
  for (auto line : split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = without_blanks(line);
    if (line.empty()) continue;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !is_field_name(line.substr(0, colon))) return false;
    if (!take(line.substr(0, colon), without_blanks(line.substr(colon + 1)))) return true;
  }
  return true;
}

}  // namespace

std::optional<std::string> sts_id(const std::vector<std::string>& records) {
  const std::string* found = nullptr;
  for (const auto& record : records) {
    const auto version = without_blanks(std::string_view(record).substr(0, record.find(';')));
    if (version != "v=STSv1" || !record.starts_with('v')) continue;
    if (found != nullptr) return std::nullopt;
    found = &record;
  }
  return found == nullptr ? std::nullopt : id_of(*found);
}

std::string_view to_string(StsPolicy::Mode mode) {
  if (mode == StsPolicy::Mode::enforce) return "enforce";
  return mode == StsPolicy::Mode::testing ? "testing" : "none";
}

std::optional<std::string_view> sts_field(std::string_view text, std::string_view name) {
  std::optional<std::string_view> found;
  for_each_field(text, [&](std::string_view field, std::string_view value) {
    if (field == name) found = value;
    return !found;
  });
  return found;
}

Result<StsPolicy> StsPolicy::parse(std::string_view text) {
  const auto wrong = [](std::string_view what) {
    return fail(Error::Kind::syntax, concat({"MTA-STS policy: ", what}));
  };
  if (text.size() > kMostStsOctets) return wrong("longer than 64 KB");
  if (!is_utf8(text)) return wrong("not UTF-8");
  StsPolicy policy;
  std::optional<std::string_view> version, mode, max_age;
  bool bad_mx = false;
  const bool lines = for_each_field(text, [&](std::string_view name, std::string_view value) {
    for (auto [wanted, to] : {std::pair{"version", &version}, {"mode", &mode}, {"max_age", &max_age}})
      if (name == wanted && !*to) *to = value;
    if (name == "mx") {
      bad_mx = bad_mx || !route::is_host_name(value.starts_with("*.") ? value.substr(2) : value);
      policy.mx.push_back(to_lower(value));
    }
    return true;
  });
  if (!lines) return wrong("a line that is no field");
  if (version != kVersion) return wrong("no `version: STSv1`");
  const auto known = mode_of(mode.value_or(""));
  if (!known) return wrong("no mode that is known");
  const auto age = max_age && max_age->size() <= 10 ? parse_decimal<std::int64_t>(*max_age) : std::nullopt;
  if (!age || *age < 0) return wrong("no max_age");
  if (bad_mx) return wrong("an mx that is no host name");
  if (policy.mx.empty() && *known != Mode::none) return wrong("no mx");
  policy.mode = *known;
  policy.max_age = std::chrono::seconds(std::min(*age, kMostAge));
  return policy;
}

std::string StsPolicy::text() const {
  auto out =
      concat({"version: ", kVersion, "\nmode: ", to_string(mode), "\nmax_age: ", decimal(max_age.count()), "\n"});
  for (const auto& pattern : mx) out += concat({"mx: ", pattern, "\n"});
  return out;
}

bool StsPolicy::names(std::string_view host) const {
  if (host.ends_with('.')) host.remove_suffix(1);
  const auto above = split_once(host, '.').second;
  return std::ranges::any_of(mx, [&](std::string_view pattern) {
    if (pattern.starts_with("*.")) return !above.empty() && iequals(above, pattern.substr(2));
    return iequals(host, pattern);
  });
}

}  // namespace mail::relay
