#include "spool/nudge.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/strings.h"
#include "spool/recovery.h"

namespace mail::spool {

namespace {

Result<Directory> nudges(const Spool& spool) {
  return spool.disk().open_directory_at(spool.directory(Box::journal), std::string(kNudgeDirectory));
}

Status leave(const Spool& spool, const Directory& directory, std::string_view orders) {
  auto& disk = spool.disk();
  const auto token = random_token(16);
  const auto unfinished = "new-nudge." + token;
  MAIL_TRY(file, disk.open(directory, unfinished, O_WRONLY | O_CREAT | O_EXCL));
  if (auto written = disk.write(file.get(), orders); !written) {
    (void)disk.unlink(directory, unfinished);
    return written;
  }
  return disk.rename(directory, unfinished, directory, concat({kNudgePrefix, token}));
}

}  // namespace

bool relay_runs(const Spool& spool) {
  // A shared lock, for the moment that the question takes: two that ask do not see each other.
  const UniqueFd file(::open(concat({spool.path(), "/journal/", kNudgeDirectory, "/", kWriterLock}).c_str(),
                             O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  return file && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0;
}

Status nudge(const Spool& spool, const std::vector<std::string>& orders) {
  if (orders.empty() || !relay_runs(spool)) return {};
  MAIL_TRY(directory, nudges(spool));
  std::string text;
  for (const auto& order : orders) {
    if (text.size() + order.size() >= kNudgeOctets) {
      MAIL_CHECK(leave(spool, directory, text));
      text.clear();
    }
    text += concat({order, "\n"});
  }
  return leave(spool, directory, text);
}

bool flush_names(std::string_view wanted, std::string_view domain) {
  if (wanted.empty() || iequals(domain, wanted)) return true;
  return wanted.starts_with('@') &&
         (iequals(domain, wanted.substr(1)) || iends_with(domain, concat({".", wanted.substr(1)})));
}

std::vector<std::string> take_nudges(const Spool& spool) {
  std::vector<std::string> orders;
  auto& disk = spool.disk();
  const auto directory = nudges(spool);
  if (!directory) return orders;
  const auto names = disk.list(*directory);
  if (!names) return orders;
  for (const auto& name : *names) {
    if (!name.starts_with(kNudgePrefix)) continue;
    const auto file = disk.open(*directory, name, O_RDONLY);
    const auto text = file ? read_file(file->get(), 2 * kNudgeOctets) : Result<std::string>();
    (void)disk.unlink(*directory, name);
    if (!text) continue;
    for (const auto line : split(*text, '\n'))
      if (!line.empty()) orders.emplace_back(line);
  }
  return orders;
}

}  // namespace mail::spool
