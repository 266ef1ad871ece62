#include "imapd/flags.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/strings.h"

namespace mail::imapd {
namespace {

struct FlagRow {
  std::string_view name;
  store::Flags flag;
};
constexpr std::array kFlags{
    FlagRow{"\\Answered", store::Flags::answered}, FlagRow{"\\Flagged", store::Flags::flagged},
    FlagRow{"\\Deleted", store::Flags::deleted},   FlagRow{"\\Seen", store::Flags::seen},
    FlagRow{"\\Draft", store::Flags::draft},       FlagRow{"$Forwarded", store::Flags::forwarded},
};

const std::array<std::string, 64>& texts() {
  static const auto table = [] {
    std::array<std::string, 64> all;
    for (std::size_t bits = 0; bits < all.size(); ++bits) {
      all[bits] = "(";
      for (const auto& row : kFlags)
        if (store::has(static_cast<store::Flags>(bits), row.flag))
          all[bits].append(all[bits].size() > 1 ? " " : "").append(row.name);
    }
    return all;
  }();
  return table;
}

}  // namespace

void append_flags(std::string& out, const store::MessageRow& row, const std::vector<std::string>& keywords,
                  bool tells_recent) {
  const auto& system = texts()[static_cast<std::size_t>(row.flags) & 63];
  out += system;
  bool first = system.size() == 1;
  const auto add = [&](std::string_view name) {
    if (!first) out += ' ';
    first = false;
    out += name;
  };
  if (row.recent && tells_recent) add("\\Recent");
  for (auto bits = row.keywords; bits != 0; bits &= bits - 1) {
    const auto bit = static_cast<std::size_t>(std::countr_zero(bits));
    if (bit < keywords.size()) add(keywords[bit]);
  }
  out += ')';
}

Result<FlagNames> flags_of(const std::vector<std::string>& names) {
  FlagNames result;
  for (const auto& name : names) {
    const auto row = std::ranges::find_if(kFlags, [&](const FlagRow& r) { return iequals(r.name, name); });
    if (row != kFlags.end())
      result.flags = result.flags | row->flag;
    else if (!name.starts_with('\\'))
      result.keywords.push_back(name);
    else if (!iequals(name, "\\Recent"))
      return fail(Error::Kind::syntax, "Unknown system flag");
  }
  return result;
}

}  // namespace mail::imapd
