#include "store/shared_list.h"

#include <algorithm>

#include "base/strings.h"
#include "store/text_file.h"

namespace mail::store {

namespace {
constexpr std::string_view kWithUser = "shared/shared-boxes/user/", kWithAnyone = "shared/shared-boxes/anyone/";
}  // namespace

std::set<Sharing> parse_shared_list(std::string_view text) {
  std::set<Sharing> all;
  const auto lines = split(text, '\n');
  for (std::size_t i = 0; i + 1 < lines.size(); i += 2) {
    const auto key = tab_unescape(lines[i]);
    const std::string_view rest(key);
    if (rest.starts_with(kWithAnyone)) {
      all.insert({std::string(rest.substr(kWithAnyone.size())), {}});
    } else if (rest.starts_with(kWithUser)) {
      const auto [with, owner] = split_once(rest.substr(kWithUser.size()), '/');
      if (!with.empty() && !owner.empty()) all.insert({std::string(owner), std::string(with)});
    }
  }
  return all;
}

std::string format_shared_list(const std::set<Sharing>& all) {
  std::vector<std::string> keys;
  for (const auto& [owner, with] : all)
    keys.push_back(with.empty() ? concat({kWithAnyone, owner}) : concat({kWithUser, with, "/", owner}));
  std::ranges::sort(keys);  // as Dovecot does
  std::string out;
  for (const auto& key : keys) out += tab_escape(key) + "\n1\n";
  return out;
}

std::vector<std::string> SharedList::owners_for(std::string_view user) {
  if (!file_.kept()) return {};
  std::lock_guard lock(mutex_);
  if (const auto text = file_.changed_text(); text && *text) all_ = parse_shared_list(**text);
  std::vector<std::string> owners;
  for (const auto& sharing : all_)
    if ((sharing.with.empty() || iequals(sharing.with, user)) && !iequals(sharing.owner, user) &&
        (owners.empty() || owners.back() != sharing.owner))
      owners.push_back(sharing.owner);
  return owners;
}

Status SharedList::set(std::string_view owner, const std::set<std::string>& with) {
  if (!file_.kept()) return {};
  std::lock_guard lock(mutex_);
  return file_.change([&](std::string_view text) -> std::optional<std::string> {
    all_ = parse_shared_list(text);
    auto all = all_;
    std::erase_if(all, [&](const Sharing& sharing) { return sharing.owner == owner; });
    for (const auto& user : with) all.insert({std::string(owner), user});
    return all == all_ ? std::nullopt : std::optional(format_shared_list(all));
  });
}

}  // namespace mail::store
