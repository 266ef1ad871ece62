#include "store/rights.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace mail::store {

namespace {

struct Prefix {
  std::string_view told, kept;
};
constexpr std::array kPrefixes{Prefix{"!$", "group-override="}, Prefix{"$", "group="}};
constexpr std::array<std::string_view, 3> kReserved{"anyone", "authenticated", "owner"};

/// How specific an identifier is that fits; 0: it does not.
int rank(std::string_view identifier, const Accessor& accessor) {
  const auto in_group = [&](std::string_view name) {
    return std::ranges::find(accessor.groups, name) != accessor.groups.end();
  };
  if (identifier == "anyone") return 1;
  if (identifier == "authenticated") return 2;
  if (identifier.starts_with("group=")) return in_group(identifier.substr(6)) ? 3 : 0;
  if (identifier == "owner") return accessor.owner ? 4 : 0;
  if (identifier.starts_with("user=")) return iequals(identifier.substr(5), accessor.user) ? 5 : 0;
  if (identifier.starts_with("group-override=")) return in_group(identifier.substr(15)) ? 6 : 0;
  return 0;
}

Rights in_order(const auto& wanted) {
  Rights out;
  std::ranges::copy_if(kAllRights, std::back_inserter(out), wanted);
  return out;
}

}  // namespace

Rights rights_of(const Acl& acl, const Accessor& accessor) {
  Rights rights(accessor.owner ? kAllRights : std::string_view());
  // Others' rights on a mailbox are no word about its owner's.
  constexpr int kAboutOwner = 4;
  int best = accessor.owner ? kAboutOwner - 1 : 0;
  std::string taken;
  for (const auto& [identifier, given] : acl) {
    if (identifier.starts_with('-')) {
      if (rank(std::string_view(identifier).substr(1), accessor) > 0) taken += given;
      continue;
    }
    if (const int found = rank(identifier, accessor); found > best) {
      best = found;
      rights = given;
    }
  }
  rights = without_rights(rights, taken);
  return accessor.owner ? with_rights(rights, kOwnerRights) : rights;
}

std::optional<Rights> parse_rights(std::string_view text) {
  std::string letters;
  for (const char letter : text) {
    if (letter == 'c')
      letters += "kx";
    else if (letter == 'd')
      letters += "et";
    else if (has_right(kAllRights, letter))
      letters += letter;
    else
      return std::nullopt;
  }
  return with_rights(letters, {});
}

std::string told_rights(std::string_view rights) {
  auto out = with_rights(rights, {});
  if (out.find_first_of("kx") != std::string::npos) out += 'c';
  if (out.find_first_of("et") != std::string::npos) out += 'd';
  return out;
}

Rights without_rights(std::string_view rights, std::string_view less) {
  return in_order([&](char right) { return has_right(rights, right) && !has_right(less, right); });
}

Rights with_rights(std::string_view rights, std::string_view more) {
  return in_order([&](char right) { return has_right(rights, right) || has_right(more, right); });
}

std::optional<std::string> identifier_of(std::string_view text) {
  if (text.starts_with('-')) {
    auto positive = text.substr(1).starts_with('-') ? std::nullopt : identifier_of(text.substr(1));
    if (positive) positive->insert(0, "-");
    return positive;
  }
  const bool control =
      std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  constexpr std::size_t kLongest = 512;
  if (text.empty() || control || text.size() > kLongest) return std::nullopt;
  if (std::ranges::find(kReserved, text) != kReserved.end()) return std::string(text);
  for (const auto& prefix : kPrefixes) {
    if (!text.starts_with(prefix.told)) continue;
    const auto name = text.substr(prefix.told.size());
    if (name.empty()) return std::nullopt;
    return concat({prefix.kept, name});
  }
  return concat({"user=", text});
}

std::string told_identifier(std::string_view identifier) {
  if (identifier.starts_with('-')) return "-" + told_identifier(identifier.substr(1));
  for (const auto& prefix : kPrefixes)
    if (identifier.starts_with(prefix.kept)) return concat({prefix.told, identifier.substr(prefix.kept.size())});
  if (identifier.starts_with("user=")) identifier.remove_prefix(5);
  return std::string(identifier);
}

}  // namespace mail::store
