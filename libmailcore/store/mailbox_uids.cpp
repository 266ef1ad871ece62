// Giving UIDs. dovecot-uidlist says which message has which UID, and its lock says who may give one: what other hosts
// and programs gave comes first, then the new ones. A row once told to a client never gets another UID, and rows only
// come in the order of their UIDs: so a line of the list is never passed over because its file did not show just then.
#include <algorithm>
#include <unordered_map>

#include "base/log.h"
#include "store/file_name.h"
#include "store/mailbox_core.h"
#include "store/mailbox_pass.h"
#include "store/uidlist_file.h"

namespace mail::store {

/// The lines of the list that the image does not know. Under the list's lock.
Result<Mailbox::ListTail> Mailbox::read_list_tail() const {
  ListTail out;
  out.next = image_.uid_next;
  auto& disk = *context_->disk;
  if (auto rest = read_uidlist_rest(disk, place_.folder, image_.stamp)) {
    Uidlist list;
    out.text = std::move(*rest);
    parse_uidlist_lines(out.text, list);
    out.whole = list.damaged;
    out.entries = std::move(list.entries);
    out.next = std::max(out.next, list.header.uid_next);
  } else {
    auto text = read_uidlist(disk, place_.folder);
    if (!text && text.error().kind != Error::Kind::not_found) return tl::unexpected(text.error());
    auto list = text ? parse_uidlist(*text) : Result<Uidlist>(tl::unexpected(text.error()));
    if (list && list->header.uid_validity != image_.uid_validity)
      return fail(Error::Kind::temporary, "the mailbox was started anew by another program; try again");
    out.whole = !list || list->damaged;
    if (!list) return out;
    out.text = std::move(*text);
    out.entries = std::move(list->entries);
    out.next = std::max(out.next, list->header.uid_next);
  }
  if (!out.text.empty() && out.text.back() != '\n') out.whole = true;  // its writer died within a line
  const auto last = image_.rows() == 0 ? Uid{0} : image_.uid(image_.rows() - 1);
  std::erase_if(out.entries, [&](const auto& entry) { return entry.uid <= last; });
  return out;
}

/// Rows for files that the listing has and the image does not, with the UIDs that the list has for them or new ones.
Status Mailbox::take_in(Pass& pass) {
  MAIL_TRY(tail, read_list_tail());
  Listed listed;
  for (const auto& entry : tail.entries) listed[entry.base] = entry.uid;
  auto rows = describe(pass.unknown);
  for (auto& row : rows) {
    if (const auto found = listed.find(row.base); found != listed.end()) {
      row.uid = found->second;
      listed.erase(found);
    }
  }
  if (!listed.empty()) MAIL_CHECK(find_listed(pass, listed, rows));
  for (const auto& row : rows) {
    pass.octets += static_cast<std::int64_t>(row.file_octets);
    ++pass.messages;
  }
  MAIL_CHECK(give_uids(rows, tail));
  if (!rows.empty()) pass.records.push_back(record::Added{next_modseq(), std::move(rows)});
  if (tail.next > image_.uid_next) pass.records.push_back(record::Numbers{tail.next, {}});
  return {};
}

/// The messages that have a line but were not among the listed files: renamed while we listed, given another UID than
/// ours, or gone.
Status Mailbox::find_listed(Pass& pass, Listed& listed, std::vector<AddedRow>& rows) {
  record::Expunged moved{next_modseq(), false, {}};
  const auto take = [&](std::vector<Found>& files) {
    for (auto& row : describe(files)) {
      const auto found = listed.find(row.base);
      if (found == listed.end()) continue;
      row.uid = found->second;
      listed.erase(found);
      rows.push_back(std::move(row));
    }
  };
  std::vector<Found> ours;
  for (RowNumber row = 0; row < image_.rows(); ++row) {
    if (image_.tombstone(row) || listed.count(image_.base(row)) == 0) continue;
    ours.push_back({image_.file_name(row), image_.in_new(row)});  // the list was written without its lock: it wins
    moved.uids.add(image_.uid(row));
    pass.octets -= static_cast<std::int64_t>(image_.file_octets(row));
    --pass.messages;
  }
  if (!ours.empty()) {
    log_event(LogLevel::warning, "uid-changed", {{"mailbox", place_.folder.path()}, {"uids", moved.uids.text()}});
    pass.records.push_back(std::move(moved));
    take(ours);
  }
  MAIL_TRY(sure, list_again(listed.empty(), [&](std::vector<Found>& again) {
             std::erase_if(again, [&](const auto& file) { return listed.count(parse_file_name(file.name).base) == 0; });
             take(again);
             return listed.empty();
           }));
  if (sure) return {};
  // The folder is too busy to tell. They get their rows, and the next look says whether they are gone.
  for (const auto& [base, uid] : listed) {
    AddedRow row;
    const auto parsed = parse_file_name(base);
    row.uid = uid;
    row.internal_date = static_cast<std::int64_t>(name_time(base).first);
    row.save_date = row.internal_date;
    row.file_octets = parsed.octets.value_or(0);
    row.wire_octets = parsed.octets ? parsed.wire_octets.value_or(0) : 0;
    row.base = std::string(base);
    rows.push_back(std::move(row));
  }
  suspect_ = true;
  return {};
}

std::string Mailbox::whole_uidlist(Uid next, const std::vector<AddedRow>& more) const {
  // What Dovecot keeps in its lines (POP3 UIDLs, sizes) stays.
  std::unordered_map<std::uint32_t, std::string_view> extensions;
  const auto text = read_uidlist(*context_->disk, place_.folder);
  const auto old = text ? parse_uidlist(*text) : Result<Uidlist>(tl::unexpected(text.error()));
  if (old)
    for (const auto& entry : old->entries)
      if (!entry.extensions.empty()) extensions.emplace(number(entry.uid), entry.extensions);
  std::string out = format_uidlist_header({image_.uid_validity, next, image_.guid});
  const auto line = [&](Uid uid, std::string_view base) {
    const auto found = extensions.find(number(uid));
    append_uidlist_line(out, uid, found == extensions.end() ? std::string_view{} : found->second, base);
  };
  for (RowNumber row = 0; row < image_.rows(); ++row)
    if (!image_.tombstone(row)) line(image_.uid(row), image_.base(row));
  for (const auto& row : more) line(row.uid, row.base);
  return out;
}

/// Under the uid list's lock. Gives each row that has none the next UID, and sorts them. The list is durable when this
/// returns: a UID that a client has seen is never given to another message.
Result<UidSet> Mailbox::give_uids(std::vector<AddedRow>& rows, const ListTail& tail) {
  const bool flush = context_->settings.flush;
  std::uint32_t next = std::max(number(image_.uid_next), number(tail.next));
  std::string lines;
  for (auto& row : rows) {
    if (number(row.uid) != 0) continue;
    if (next == UINT32_MAX) return fail(Error::Kind::permanent, "the mailbox has no UIDs left");
    row.uid = static_cast<Uid>(next++);
    append_uidlist_line(lines, row.uid, {}, row.base);
  }
  std::sort(rows.begin(), rows.end(), [](const AddedRow& a, const AddedRow& b) { return a.uid < b.uid; });
  if (tail.whole) {
    if (image_.messages() > 0) log_event(LogLevel::warning, "uidlist-rebuilt", {{"mailbox", place_.folder.path()}});
    MAIL_CHECK(write_uidlist(*context_->disk, place_.folder, whole_uidlist(static_cast<Uid>(next), rows), flush));
  } else if (!lines.empty()) {
    MAIL_CHECK(append_uidlist(*context_->disk, place_.folder, lines, flush && !flush_follows_));
  }
  UidSet out;
  for (const auto& row : rows) out.add(row.uid);
  return out;
}

}  // namespace mail::store
