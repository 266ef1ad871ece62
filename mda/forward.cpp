#include "mda/forward.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/disk.h"
#include "base/strings.h"

namespace mail::mda {
namespace {

constexpr std::uint64_t kMostOctets = 65536;
constexpr std::size_t kMostTargets = 100;

bool others_may_write(const struct stat& status) { return (status.st_mode & (S_IWGRP | S_IWOTH)) != 0; }
bool belongs_to(const struct stat& status, uid_t owner) { return status.st_uid == owner || status.st_uid == 0; }

Result<std::optional<std::string>> read_one(int home, const std::string& name, uid_t owner, const std::string& place) {
  const UniqueFd fd(openat(home, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) {
    if (errno == ENOENT) return std::optional<std::string>();
    return fail_errno("open", place);
  }
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat", place);
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || !belongs_to(status, owner) || others_may_write(status))
    return fail(Error::Kind::refused, place + ": not the user's own regular file that nobody else may write");
  MAIL_TRY(text, read_file(fd.get(), kMostOctets));
  return std::optional(std::move(text));
}

}  // namespace

Result<std::optional<std::vector<directory::AliasTarget>>> read_forward(const directory::User& user,
                                                                        std::string_view detail) {
  using Targets = std::optional<std::vector<directory::AliasTarget>>;
  if (user.home.empty()) return Targets();
  const auto owner = user.uid.value_or(geteuid());
  const UniqueFd home(open(user.home.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  if (!home) {
    if (errno == ENOENT || errno == ENOTDIR) return Targets();
    return fail_errno("open", user.home);
  }
  struct stat status {};
  if (fstat(home.get(), &status) != 0) return fail_errno("stat", user.home);
  if (!belongs_to(status, owner) || others_may_write(status))
    return fail(Error::Kind::refused, user.home + ": others may write to the home directory");
  std::optional<std::string> text;
  const bool sane = !detail.empty() && detail.size() < 100 && std::ranges::all_of(detail, [](unsigned char c) {
    return is_alnum(c) || c == '-' || c == '_' || c == '.';
  });
  if (sane) {
    MAIL_TRY(special,
             read_one(home.get(), concat({".forward+", detail}), owner, concat({user.home, "/.forward+", detail})));
    text = std::move(special);
  }
  if (!text) {
    MAIL_TRY(usual, read_one(home.get(), ".forward", owner, user.home + "/.forward"));
    text = std::move(usual);
  }
  if (!text) return Targets();
  MAIL_TRY(targets, directory::parse_alias_targets(*text));
  if (targets.empty()) return Targets();
  if (targets.size() > kMostTargets) return fail(Error::Kind::syntax, user.home + "/.forward: more than 100 targets");
  return Targets(std::move(targets));
}

}  // namespace mail::mda
