#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "message/address.h"
#include "message/date.h"
#include "message/header.h"
#include "store/account_impl.h"
#include "store/file_name.h"
#include "store/maintenance.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {

/// tmp is swept of what is older: Maildir's rule.
constexpr std::int64_t kTemporarySeconds = 36 * 3600;

Result<Directory> parent_of(const std::string& path, std::string& name) {
  const auto slash = path.rfind('/');
  name = slash == std::string::npos ? path : path.substr(slash + 1);
  return Disk::system().open_directory(slash == std::string::npos ? std::string(".")
                                       : slash == 0               ? std::string("/")
                                                                  : path.substr(0, slash));
}

std::vector<MessageRow> all_rows(View& view) {
  std::vector<MessageRow> out;
  view.rows(UidSet({{Uid{1}, Uid{UINT32_MAX}}}), [&](SequenceNumber, const MessageRow& row) {
    out.push_back(row);
    return true;
  });
  return out;
}

void append_mbox_message(std::string& to, std::string_view raw, const MessageRow& row,
                         const std::vector<std::string>& keywords) {
  std::string sender = "MAILER-DAEMON";
  const message::HeaderFields fields(raw);
  for (const auto* name : {"Return-Path", "Sender", "From"})
    if (const auto value = fields.find(name)) {
      const auto addresses = message::parse_mailboxes(*value);
      if (addresses.empty()) continue;
      sender = message::addr_spec(addresses.front());
      break;
    }
  for (auto& c : sender)
    if (is_white(static_cast<unsigned char>(c))) c = '_';
  to += concat({"From ", sender, " ",
                message::format_asctime(std::chrono::sys_seconds(std::chrono::seconds(row.internal_date))), "\n"});
  to += concat({"Status: ", has(row.flags, Flags::seen) ? "RO" : "O", "\n"});
  std::string status;
  if (has(row.flags, Flags::answered)) status += 'A';
  if (has(row.flags, Flags::flagged)) status += 'F';
  if (has(row.flags, Flags::draft)) status += 'T';
  if (has(row.flags, Flags::deleted)) status += 'D';
  if (!status.empty()) to += concat({"X-Status: ", status, "\n"});
  std::string words;
  for (std::size_t bit = 0; bit < keywords.size(); ++bit)
    if (((row.keywords >> bit) & 1) != 0) words += " " + keywords[bit];
  if (!words.empty()) to += concat({"X-Keywords:", words, "\n"});
  while (!raw.empty()) {
    const auto end = std::min(raw.find('\n'), raw.size() - 1);
    auto line = raw.substr(0, end + 1);
    raw.remove_prefix(line.size());
    const auto quoted = line.find_first_not_of('>');
    if (quoted != std::string_view::npos && line.substr(quoted).starts_with("From ")) to += '>';
    to += line;
  }
  if (!to.ends_with('\n')) to += '\n';
  to += '\n';
}

}  // namespace

Result<std::uint64_t> export_mbox(Account& account, std::string_view mailbox, const std::string& path,
                                  const Progress& progress) {
  auto& disk = Disk::system();
  MAIL_TRY(view, account.select(mailbox, true));
  std::string name;
  MAIL_TRY(directory, parent_of(path, name));
  const auto part = name + ".part";
  MAIL_TRY(fd, disk.open(directory, part, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  const auto rows = all_rows(*view);
  const auto keywords = view->keywords();
  std::uint64_t done = 0;
  std::string text;
  for (const auto& row : rows) {
    const auto file = view->open_message(row.uid);
    if (!file) continue;  // expunged meanwhile
    append_mbox_message(text, (*file)->raw(), row, keywords);
    ++done;
    if (text.size() > (1U << 20)) {
      MAIL_CHECK(disk.write(fd.get(), text));
      text.clear();
    }
    if (progress && done % 16 == 0 && !progress(done, rows.size())) return fail(Error::Kind::temporary, "stopped");
  }
  MAIL_CHECK(disk.write(fd.get(), text));
  MAIL_CHECK(disk.sync(fd.get()));
  MAIL_CHECK(disk.close(std::move(fd)));
  MAIL_CHECK(disk.rename(directory, part, directory, name));
  MAIL_CHECK(disk.sync_directory(directory));
  return done;
}

Result<std::uint64_t> export_maildir(Account& account, std::string_view mailbox, const std::string& path,
                                     const Progress& progress) {
  auto& disk = Disk::system();
  MAIL_TRY(view, account.select(mailbox, true));
  std::string name;
  MAIL_TRY(parent, parent_of(path, name));
  if (const auto made = disk.make_directory(parent, name); !made && made.error().system != EEXIST)
    return tl::unexpected(made.error());
  MAIL_TRY(folder, disk.open_directory_at(parent, name));
  for (const auto* part : {"cur", "new", "tmp"})
    if (const auto made = disk.make_directory(folder, part); !made && made.error().system != EEXIST)
      return tl::unexpected(made.error());
  MAIL_TRY(cur, disk.open_directory_at(folder, "cur"));
  MAIL_TRY(tmp, disk.open_directory_at(folder, "tmp"));
  std::set<std::string> there;
  MAIL_TRY(files, disk.list(cur));
  for (const auto& file : files) there.insert(file.substr(0, file.find(':')));
  const auto keywords = view->keywords();
  if (!keywords.empty()) MAIL_CHECK(write_keywords(disk, folder, keywords));  // before the letters that mean them
  std::uint64_t done = 0;
  const auto rows = all_rows(*view);
  for (const auto& row : rows) {
    // The name comes from mailbox and UID: a second run finds what the first one wrote.
    const auto file = view->open_message(row.uid);
    if (!file) continue;
    const auto raw = (*file)->raw();
    auto base = concat({decimal(row.internal_date), ".V", decimal(number(view->uid_validity())), "U",
                        decimal(number(row.uid)), ".export"});
    append_sizes(base, raw.size(), (*file)->wire_octets());
    ++done;
    if (there.count(base) != 0) continue;
    MAIL_TRY(fd, disk.open(tmp, base, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    MAIL_CHECK(disk.write(fd.get(), raw));
    const timespec times[2] = {{row.internal_date, 0}, {row.internal_date, 0}};
    (void)::futimens(fd.get(), times);
    MAIL_CHECK(disk.sync(fd.get()));
    MAIL_CHECK(disk.close(std::move(fd)));
    auto final_name = base;
    append_info(final_name, row.flags, row.keywords);
    MAIL_CHECK(disk.rename(tmp, base, cur, final_name));
    if (progress && done % 16 == 0 && !progress(done, rows.size())) return fail(Error::Kind::temporary, "stopped");
  }
  MAIL_CHECK(disk.sync_directory(cur));
  return done;
}

Result<CheckReport> check_mailbox(Account& account, std::string_view name, bool repair) {
  auto* impl = dynamic_cast<AccountImpl*>(&account);
  MAIL_TRY(mailbox, impl->mailbox(name));
  CheckReport report;
  MAIL_CHECK(mailbox->check(report));
  auto& disk = *impl->context().disk;
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(impl->context().clock->now().time_since_epoch()).count();
  MAIL_TRY(left, disk.list(mailbox->temporary()));
  for (const auto& file : left) {
    const auto found = disk.stat(mailbox->temporary(), file);
    if (!found || now - std::max(found->st_mtim.tv_sec, found->st_ctim.tv_sec) < kTemporarySeconds) continue;
    report.problems.push_back(concat({"left in tmp: ", file}));
    if (repair && disk.unlink(mailbox->temporary(), file)) report.repaired.push_back(concat({"removed tmp/", file}));
  }
  if (repair && !report.problems.empty()) {
    MAIL_CHECK(mailbox->rebuild());
    report.repaired.push_back("made the index and the uid list anew");
  }
  return report;
}

Result<std::uint64_t> reindex(Account& account, std::string_view mailbox, const Progress& progress) {
  MAIL_TRY(view, account.select(mailbox, true));
  const auto rows = all_rows(*view);
  constexpr std::size_t kPiece = 1024;
  for (std::size_t from = 0; from < rows.size(); from += kPiece) {
    UidSet uids;
    for (auto i = from; i < std::min(from + kPiece, rows.size()); ++i) uids.add(rows[i].uid);
    MAIL_CHECK(view->complete_summaries(uids));
    View::TextQuery query;  // any text search makes the filters that are missing
    query.needle = "relais";
    MAIL_CHECK(view->search_text(query, uids));
    if (progress && !progress(std::min(from + kPiece, rows.size()), rows.size()))
      return fail(Error::Kind::temporary, "stopped");
  }
  return rows.size();
}

}  // namespace mail::store
