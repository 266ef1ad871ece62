// Looking a mailbox over, and making its index anew.
#include <sys/stat.h>

#include <unordered_map>

#include "base/strings.h"
#include "store/dotlock.h"
#include "store/file_name.h"
#include "store/mailbox_core.h"
#include "store/maintenance.h"
#include "store/summary_cache.h"
#include "store/uidlist_file.h"

namespace mail::store {

std::vector<std::string> Mailbox::ids() const {
  std::vector<std::string> out;
  std::shared_lock lock(image_lock_);
  for (RowNumber row = 0; row < image_.rows(); ++row)
    if (!image_.tombstone(row))
      if (const auto base = image_.base(row); !id_of(base).empty()) out.emplace_back(id_of(base));
  return out;
}

Status Mailbox::check(CheckReport& report) {
  MAIL_TRY(writing, begin());
  suspect_ = true;
  MAIL_CHECK(scan(writing));
  std::unordered_map<std::string, Uid> listed;
  if (const auto text = read_uidlist(*context_->disk, place_.folder)) {
    if (const auto list = parse_uidlist(*text)) {
      if (list->damaged) report.problems.push_back("dovecot-uidlist has damaged lines");
      for (const auto& entry : list->entries) listed.emplace(entry.base, entry.uid);
    } else {
      report.problems.push_back(list.error().text);
    }
  } else if (image_.messages() > 0) {
    report.problems.push_back("dovecot-uidlist is missing");
  }
  const SummaryCache::Reading reading(*place_.summaries);
  for (RowNumber row = 0; row < image_.rows(); ++row) {
    if (image_.tombstone(row)) continue;
    ++report.messages;
    const auto name = image_.file_name(row);
    const auto uid = concat({"message ", decimal(number(image_.uid(row))), ": "});
    const auto found = context_->disk->stat(image_.in_new(row) ? new_ : cur_, name);
    if (!found)
      report.problems.push_back(concat({uid, "no file ", name}));
    else if (static_cast<std::uint64_t>(found->st_size) != image_.file_octets(row))
      report.problems.push_back(concat({uid, "size differs: ", name}));
    const auto entry = listed.find(image_.base(row));
    if (entry == listed.end() || entry->second != image_.uid(row))
      report.problems.push_back(concat({uid, "not in dovecot-uidlist"}));
    if (image_.summary(row) != 0 && place_.summaries->plausible(image_.summary(row)) &&
        !reading.summary(image_.summary(row)))
      report.problems.push_back(concat({uid, "damaged summary"}));
  }
  return {};
}

Status Mailbox::rebuild() {
  MAIL_TRY(writing, begin());
  // The list is written from what is in memory: it has every UID that anybody was told.
  {
    MAIL_TRY(lock, Dotlock::take(*context_->disk, place_.folder, std::string(kUidlistLock)));
    (void)lock;
    MAIL_CHECK(
        write_uidlist(*context_->disk, place_.folder, whole_uidlist(image_.uid_next, {}), context_->settings.flush));
  }
  record::Known known;  // sizes from the files; summaries are made again when they are asked for
  const SummaryCache::Reading reading(*place_.summaries);
  for (RowNumber row = 0; row < image_.rows(); ++row) {
    if (image_.tombstone(row)) continue;
    const auto found = context_->disk->stat(image_.in_new(row) ? new_ : cur_, image_.file_name(row));
    if (!found) continue;
    const bool bad = image_.summary(row) != 0 && !reading.summary(image_.summary(row));
    const bool other_size = static_cast<std::uint64_t>(found->st_size) != image_.file_octets(row);
    if (bad || other_size)
      known.rows.push_back({image_.uid(row), static_cast<std::uint64_t>(found->st_size), 0, 1});  // 1: leads nowhere
  }
  if (!known.rows.empty()) MAIL_CHECK(applied(writing, Batch{{std::move(known)}, {}, 0}));
  MAIL_CHECK(log_.rewrite(image_));
  suspect_ = true;
  return scan(writing);
}

}  // namespace mail::store
