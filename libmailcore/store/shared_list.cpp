#include "store/shared_list.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/strings.h"
#include "store/dotlock.h"
#include "store/text_file.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {
constexpr std::string_view kWithUser = "shared/shared-boxes/user/", kWithAnyone = "shared/shared-boxes/anyone/";
constexpr std::uint64_t kMostOctets = 64U << 20;
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

void SharedList::look() {
  struct stat found {};
  if (::stat(path_.c_str(), &found) != 0) {
    all_.clear();
    time_ = -1;
    return;
  }
  const std::int64_t time = std::int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec;
  if (time == time_ && found.st_ino == inode_) return;
  const auto text = read_file_at(path_, kMostOctets);
  if (!text) return;
  all_ = parse_shared_list(*text);
  time_ = time;
  inode_ = found.st_ino;
}

std::vector<std::string> SharedList::owners_for(std::string_view user) {
  if (path_.empty()) return {};
  std::lock_guard lock(mutex_);
  look();
  std::vector<std::string> owners;
  for (const auto& sharing : all_)
    if ((sharing.with.empty() || iequals(sharing.with, user)) && !iequals(sharing.owner, user) &&
        (owners.empty() || owners.back() != sharing.owner))
      owners.push_back(sharing.owner);
  return owners;
}

Status SharedList::set(std::string_view owner, const std::set<std::string>& with) {
  if (path_.empty()) return {};
  std::lock_guard lock(mutex_);
  const auto slash = path_.find_last_of('/');
  MAIL_TRY(directory, disk_.open_directory(path_.substr(0, std::max<std::size_t>(slash, 1))));
  const auto name = path_.substr(slash + 1);
  MAIL_TRY(dotlock, Dotlock::take(disk_, directory, name + ".lock"));
  (void)dotlock;
  time_ = -1;
  look();
  auto all = all_;
  std::erase_if(all, [&](const Sharing& sharing) { return sharing.owner == owner; });
  for (const auto& user : with) all.insert({std::string(owner), user});
  if (all == all_) return {};
  MAIL_CHECK(replace_file(disk_, directory, name, format_shared_list(all)));
  all_ = std::move(all);
  return {};
}

}  // namespace mail::store
