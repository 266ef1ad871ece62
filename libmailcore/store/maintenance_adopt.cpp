#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>

#include "base/id.h"
#include "base/strings.h"
#include "store/adopt.h"
#include "store/dotlock.h"
#include "store/file_name.h"
#include "store/uidlist_file.h"

namespace mail::store {

Result<std::vector<ForeignFile>> foreign_files(const Directory& folder) {
  auto& disk = Disk::system();
  std::vector<std::pair<std::pair<std::uint64_t, std::uint64_t>, ForeignFile>> files;
  for (const std::string part : {"cur", "new"}) {
    const auto directory = disk.open_directory_at(folder, part);
    if (!directory) continue;
    MAIL_TRY(names, disk.list(*directory));
    for (auto& name : names)
      if (name.front() != '.') files.push_back({name_time(name), {part, name}});
  }
  std::ranges::sort(files, [](const auto& a, const auto& b) {
    return std::tie(a.first, a.second.part, a.second.name) < std::tie(b.first, b.second.part, b.second.name);
  });
  std::vector<ForeignFile> out;
  out.reserve(files.size());
  for (auto& [time, file] : files) out.push_back(std::move(file));
  return out;
}

Result<ForeignMessage> read_foreign(const Directory& folder, const ForeignFile& file) {
  auto& disk = Disk::system();
  MAIL_TRY(directory, disk.open_directory_at(folder, file.part));
  auto fd = disk.open(directory, file.name, O_RDONLY | O_NONBLOCK);
  struct stat found {};
  if (!fd || ::fstat(fd->get(), &found) != 0 || !S_ISREG(found.st_mode))
    return fail(Error::Kind::refused, concat({folder.path(), "/", file.part, "/", file.name}));
  ForeignMessage out;
  MAIL_TRY(octets, read_file(fd->get()));
  out.octets = std::move(octets);
  out.date = found.st_mtim.tv_sec;
  return out;
}

namespace {

struct List {
  std::unique_ptr<const std::string> text;  ///< What the entries look into, wherever the list is moved.
  Uidlist parsed;
};

/// Nothing where there is none that can be read.
std::optional<List> list_of(Disk& disk, const Directory& folder) {
  for (const bool courier : {false, true}) {
    auto text = read_uidlist(disk, folder, courier);
    if (!text) continue;
    List list{std::make_unique<const std::string>(std::move(*text)), {}};
    auto parsed = courier ? parse_courier_uids(*list.text) : parse_uidlist(*list.text);
    if (!parsed || parsed->damaged) continue;
    list.parsed = std::move(*parsed);
    return list;
  }
  return std::nullopt;
}

class Adopter {
 public:
  Adopter(AccountImpl& account, DeliveryFolder& to, const Directory& from, List source, ImportReport& report)
      : disk_(*account.context().disk),
        flush_(account.context().settings.flush),
        account_(account),
        to_(to),
        from_(from),
        report_(report),
        source_(std::move(source)) {}

  /// What is there and what the mailbox has. False: not to be taken over.
  Result<bool> look() {
    MAIL_TRY(files, foreign_files(from_));
    files_ = std::move(files);
    keywords_ = read_keywords(Disk::system(), from_);
    return may_adopt();
  }

  /// Copies into tmp what the mailbox has not. False: it was stopped.
  Result<bool> stage(const Progress& progress, std::uint64_t& done) {
    const auto total = done + files_.size();
    std::uint64_t octets = 0, messages = 0;
    for (const auto& file : files_) {
      const std::string base(parse_file_name(file.name).base);
      if (there_.contains(base)) {
        ++report_.there_already;
      } else if (auto read = read_foreign(from_, file); !read) {
        report_.problems.push_back(read.error().text);
      } else {
        MAIL_CHECK(account_.check_quota(octets += read->octets.size(), ++messages));
        auto name = staged_name(file.name);
        staged_.push_back({&file, base, name});
        MAIL_CHECK(write(name, *read));
      }
      if (++done % 16 == 0 && progress && !progress(done, total)) return false;
    }
    if (flush_ && !staged_.empty()) MAIL_CHECK(disk_.sync_filesystem(to_.tmp));
    return true;
  }

  /// Makes room again: after a full disk or quota.
  void discard() {
    for (const auto& one : staged_) (void)disk_.unlink(to_.tmp, one.name);
  }

  /// Gives them their UIDs and names. False: the mailbox was used meanwhile.
  Result<bool> place() {
    MAIL_TRY(lock, Dotlock::take(disk_, to_.directory, std::string(kUidlistLock)));
    (void)lock;
    MAIL_TRY(still, may_adopt());
    if (!still) return false;
    if (fresh_ && !keywords_.empty()) {
      MAIL_TRY(keyword_lock, Dotlock::take(disk_, to_.directory, std::string(kKeywords) + ".lock"));
      (void)keyword_lock;
      MAIL_CHECK(write_keywords(disk_, to_.directory, keywords_));
    }
    MAIL_CHECK(fresh_ ? write_list() : append_list());
    for (const auto& [file, base, name] : staged_) {
      MAIL_CHECK(disk_.rename(to_.tmp, name, file->part == "new" ? to_.fresh : to_.cur, file->name));
      ++report_.imported;
    }
    if (!flush_) return true;
    MAIL_CHECK(disk_.sync_directory(to_.cur));
    MAIL_CHECK(disk_.sync_directory(to_.fresh));
    return true;
  }

 private:
  struct Staged {
    const ForeignFile* file;
    std::string base;
    std::string name;  ///< In tmp.
  };

  /// True where the mailbox never had a message, or has the source's UIDs from an earlier run. Reads what it has.
  Result<bool> may_adopt() {
    there_.clear();
    for (const auto* directory : {&to_.cur, &to_.fresh}) {
      MAIL_TRY(names, disk_.list(*directory));
      for (const auto& name : names) there_.emplace(parse_file_name(name).base);
    }
    target_ = list_of(disk_, to_.directory);
    const auto letters = read_keywords(disk_, to_.directory);
    fresh_ = there_.empty() && (!target_ || number(target_->parsed.header.uid_next) <= 1) && letters.empty();
    if (fresh_) return true;
    if (!target_ || letters != keywords_ || target_->parsed.header.uid_validity != source_.parsed.header.uid_validity)
      return false;
    std::map<std::uint32_t, std::string_view> bases;
    for (const auto& entry : target_->parsed.entries) bases[number(entry.uid)] = entry.base;
    return std::ranges::all_of(source_.parsed.entries, [&](const UidlistEntry& entry) {
      const auto found = bases.find(number(entry.uid));
      return found == bases.end() || found->second == entry.base;
    });
  }

  static std::string staged_name(std::string_view name) {
    return "relais-import." + decimal(XXH3_64bits(name.data(), name.size()));
  }

  Status write(const std::string& name, const ForeignMessage& message) {
    if (auto old = disk_.open(to_.tmp, name, O_RDONLY | O_NONBLOCK)) {  // of a run that was interrupted
      const auto octets = read_file(old->get());
      if (octets && *octets == message.octets) return {};
    }
    MAIL_TRY(fd, disk_.open(to_.tmp, name, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    MAIL_CHECK(disk_.write(fd.get(), message.octets));
    const timespec times[2] = {{message.date, 0}, {message.date, 0}};
    (void)::futimens(fd.get(), times);
    return disk_.close(std::move(fd));
  }

  /// The source's lines of what was staged, from that UID on.
  std::string lines_from(Uid first) const {
    std::set<std::string_view> staged;
    for (const auto& one : staged_) staged.insert(one.base);
    std::string lines;
    for (const auto& entry : source_.parsed.entries)
      if (entry.uid >= first && staged.contains(entry.base))
        append_uidlist_line(lines, entry.uid, entry.extensions, entry.base);
    return lines;
  }

  /// The source's list, without what has no file.
  Status write_list() {
    auto header = source_.parsed.header;
    // The identity is not taken along: the folder may stay where it is, as another mailbox.
    header.guid =
        target_ && !target_->parsed.header.guid.empty() ? target_->parsed.header.guid : to_hex(random_octets(16));
    return write_uidlist(disk_, to_.directory, format_uidlist_header(header) + lines_from(Uid{}), flush_);
  }

  /// What came into the source since, where its UIDs are still free here. The rest gets new ones.
  Status append_list() {
    const auto lines = lines_from(target_->parsed.header.uid_next);
    return lines.empty() ? Status{} : append_uidlist(disk_, to_.directory, lines, flush_);
  }

  Disk& disk_;
  bool flush_;
  AccountImpl& account_;
  DeliveryFolder& to_;
  const Directory& from_;
  ImportReport& report_;
  List source_;
  std::optional<List> target_;
  std::vector<ForeignFile> files_;
  std::vector<std::string> keywords_;
  std::set<std::string> there_;  ///< Bases of the mailbox's files.
  bool fresh_ = false;
  std::vector<Staged> staged_;
};

}  // namespace

Result<bool> adopt_folder(AccountImpl& account, std::string_view mailbox, const std::string& path,
                          const Progress& progress, std::uint64_t& done, ImportReport& report) {
  MAIL_TRY(from, Disk::system().open_directory(path));
  auto source = list_of(Disk::system(), from);
  if (!source) return false;
  if (const auto found = account.find(mailbox); !found || !found->exists) MAIL_CHECK(account.create(mailbox, {}));
  MAIL_TRY(to, account.delivery_folder(mailbox));
  ImportReport own;
  Adopter adopter(account, *to, from, std::move(*source), own);
  MAIL_TRY(possible, adopter.look());
  if (!possible) return false;
  const auto before = done;
  const auto staged = adopter.stage(progress, done);
  if (!staged) {
    adopter.discard();
    return tl::unexpected(staged.error());
  }
  if (*staged) {
    MAIL_TRY(placed, adopter.place());
    if (!placed) {
      adopter.discard();
      done = before;
      return false;
    }
    MAIL_CHECK(account.status(mailbox));  // the index is made now, not at the first visit
  }
  add(report, own);
  return true;
}

}  // namespace mail::store
