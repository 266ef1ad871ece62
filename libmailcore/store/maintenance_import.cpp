#include <fcntl.h>
#include <xxhash.h>

#include <algorithm>
#include <set>

#include "base/mutf7.h"
#include "base/strings.h"
#include "message/header.h"
#include "store/account_impl.h"
#include "store/adopt.h"
#include "store/file_name.h"
#include "store/maintenance.h"
#include "store/text_file.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {

/// Messages that share one flush.
constexpr std::size_t kBatch = 64;

struct Source {
  std::string octets;
  Flags flags = Flags::none;
  std::vector<std::string> keywords;
  std::optional<std::int64_t> date;
  std::string id;
};

/// Appends in batches; what an earlier run brought is known by its id.
class Importer {
 public:
  Importer(Account& account, std::string_view mailbox) : account_(account), mailbox_(mailbox) {}

  Status open() {
    auto* impl = dynamic_cast<AccountImpl*>(&account_);
    auto found = impl->mailbox(mailbox_);
    if (!found && found.error().kind == Error::Kind::not_found) {
      MAIL_CHECK(account_.create(mailbox_));
      found = impl->mailbox(mailbox_);
    }
    if (!found) return tl::unexpected(std::move(found).error());
    for (auto& id : (*found)->ids()) known_.insert(std::move(id));
    return {};
  }
  Status take(Source source) {
    // Equal messages in one source are different messages: their number tells them apart.
    const auto number = ++seen_[source.id];
    source.id = plain_id(concat({"import", source.id, "n", decimal(number)}));
    if (known_.count(source.id) != 0) {
      ++report.there_already;
      return {};
    }
    waiting_.push_back(std::move(source));
    return waiting_.size() >= kBatch ? flush() : Status{};
  }
  Status flush() {
    if (waiting_.empty()) return {};
    std::vector<NewMessage> messages(waiting_.size());
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      messages[i].octets = waiting_[i].octets;
      messages[i].flags = waiting_[i].flags;
      messages[i].keywords = waiting_[i].keywords;
      messages[i].internal_date = waiting_[i].date;
      messages[i].id = waiting_[i].id;
    }
    MAIL_CHECK(account_.append(mailbox_, messages));
    report.imported += waiting_.size();
    waiting_.clear();
    return {};
  }
  ImportReport report;

 private:
  Account& account_;
  std::string mailbox_;
  std::set<std::string> known_;
  std::map<std::string, std::uint64_t> seen_;
  std::vector<Source> waiting_;
};

std::string hash_text(std::string_view octets) { return decimal(XXH3_64bits(octets.data(), octets.size())); }

/// True where a From_ line starts at `at`: "From ", something, and a digit of the time.
bool is_from_line(std::string_view text, std::size_t at) {
  if (!text.substr(at).starts_with("From ")) return false;
  const auto line = text.substr(at, text.find('\n', at) - at);
  return line.find(':') != std::string_view::npos && line.size() > 20;
}

void take_status(Source& source) {
  for (const auto& field : message::HeaderFields(source.octets)) {
    if (iequals(field.name, "Status") || iequals(field.name, "X-Status")) {
      for (const char c : field.value) {
        if (c == 'R') source.flags = source.flags | Flags::seen;
        if (c == 'A') source.flags = source.flags | Flags::answered;
        if (c == 'F') source.flags = source.flags | Flags::flagged;
        if (c == 'T') source.flags = source.flags | Flags::draft;
        if (c == 'D') source.flags = source.flags | Flags::deleted;
      }
    } else if (iequals(field.name, "X-Keywords")) {
      for (const auto word : split_words(field.value)) source.keywords.emplace_back(word);
    }
  }
}

Source mbox_message(std::string_view text) {
  Source out;
  auto line_end = text.find('\n');
  text.remove_prefix(line_end == std::string_view::npos ? text.size() : line_end + 1);  // the From_ line
  if (text.ends_with("\n\n")) text.remove_suffix(1);  // the empty line before the next one
  out.octets.reserve(text.size());
  while (!text.empty()) {
    line_end = std::min(text.find('\n'), text.size() - 1);
    auto line = text.substr(0, line_end + 1);
    text.remove_prefix(line.size());
    if (line.front() == '>' && line.find_first_not_of('>') != std::string_view::npos &&
        line.substr(line.find_first_not_of('>')).starts_with("From "))
      line.remove_prefix(1);
    out.octets += line;
  }
  out.id = hash_text(out.octets);
  take_status(out);
  return out;
}

Status import_folder(Importer& importer, const std::string& path, const Progress& progress, std::uint64_t& done) {
  auto& disk = Disk::system();
  MAIL_TRY(folder, disk.open_directory(path));
  const auto keywords = read_keywords(disk, folder);
  MAIL_TRY(files, foreign_files(folder));
  const auto total = done + files.size();
  for (const auto& file : files) {
    auto read = read_foreign(folder, file);
    if (!read) {
      importer.report.problems.push_back(read.error().text);
      continue;
    }
    const auto parsed = parse_file_name(file.name);
    Source source;
    source.id = hash_text(parsed.base);
    source.octets = std::move(read->octets);
    source.flags = parsed.flags;
    source.date = read->date;
    for (std::size_t bit = 0; bit < keywords.size() && bit < 26; ++bit)
      if (((parsed.keywords >> bit) & 1) != 0 && !keywords[bit].empty()) source.keywords.push_back(keywords[bit]);
    MAIL_CHECK(importer.take(std::move(source)));
    if (++done % 16 == 0 && progress && !progress(done, total)) break;
  }
  return importer.flush();
}

/// With its UIDs where that can be, else message by message.
Status import_any_folder(Account& account, std::string_view mailbox, const std::string& path, const Progress& progress,
                         std::uint64_t& done, ImportReport& report) {
  auto* impl = dynamic_cast<AccountImpl*>(&account);
  MAIL_TRY(adopted, adopt_folder(*impl, mailbox, path, progress, done, report));
  if (adopted) return {};
  Importer importer(account, mailbox);
  MAIL_CHECK(importer.open());
  MAIL_CHECK(import_folder(importer, path, progress, done));
  if (importer.report.imported > 0) report.new_uids.emplace_back(mailbox);
  add(report, importer.report);
  return {};
}

}  // namespace

void add(ImportReport& to, const ImportReport& more) {
  to.imported += more.imported;
  to.there_already += more.there_already;
  to.new_uids.insert(to.new_uids.end(), more.new_uids.begin(), more.new_uids.end());
  to.problems.insert(to.problems.end(), more.problems.begin(), more.problems.end());
}

Result<ImportReport> import_mbox(Account& account, std::string_view mailbox, const std::string& path,
                                 const Progress& progress) {
  Importer importer(account, mailbox);
  MAIL_CHECK(importer.open());
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("opening", path);
  MAIL_TRY(file, MessageFile::open(std::move(fd)));  // mapped where it is large
  const auto text = file->raw();
  if (!text.empty() && !is_from_line(text, 0))
    return fail(Error::Kind::syntax, concat({path, " is not an mbox file: it does not begin with a From_ line"}));
  for (std::size_t at = 0; at < text.size();) {
    auto next = text.find("\n\nFrom ", at);
    while (next != std::string_view::npos && !is_from_line(text, next + 2)) next = text.find("\n\nFrom ", next + 2);
    const auto end = next == std::string_view::npos ? text.size() : next + 2;
    MAIL_CHECK(importer.take(mbox_message(text.substr(at, end - at))));
    at = end;
    if (progress && !progress(at, text.size())) break;
  }
  MAIL_CHECK(importer.flush());
  return std::move(importer.report);
}

Result<ImportReport> import_maildir(Account& account, std::string_view mailbox, const std::string& path,
                                    const Progress& progress) {
  ImportReport report;
  std::uint64_t done = 0;
  MAIL_CHECK(import_any_folder(account, mailbox, path, progress, done, report));
  return report;
}

Result<ImportReport> import_account(Account& account, const std::string& path, const Progress& progress) {
  auto& disk = Disk::system();
  MAIL_TRY(root, disk.open_directory(path));
  MAIL_TRY(names, disk.list(root));
  auto* impl = dynamic_cast<AccountImpl*>(&account);
  ImportReport report;
  std::uint64_t done = 0;
  std::vector<std::pair<std::string, std::string>> folders{{"INBOX", path}};
  for (const auto& name : names) {
    if (!name.starts_with('.') || name == "." || name == "..") continue;
    auto rules = impl->rules();
    auto mailbox = name_of(name, rules);
    if (!mailbox) {  // written with the other encoding of names
      rules.utf8_on_disk = !rules.utf8_on_disk;
      mailbox = name_of(name, rules);
    }
    if (mailbox)
      folders.emplace_back(*mailbox, concat({path, "/", name}));
    else
      report.problems.push_back(concat({path, "/", name}));
  }
  std::sort(folders.begin(), folders.end());
  for (const auto& [mailbox, folder] : folders)
    MAIL_CHECK(import_any_folder(account, mailbox, folder, progress, done, report));
  if (auto fd = disk.open(root, "subscriptions", O_RDONLY))
    if (const auto text = read_file(fd->get(), 64U << 20))
      for (const auto& parts : parse_subscriptions(*text, '.')) {
        std::vector<std::string> decoded;
        for (const auto& part : parts) decoded.push_back(from_mutf7(part).value_or(part));
        const char separator = impl->rules().separator;
        (void)account.subscribe(join(decoded, std::string_view(&separator, 1)), true);
      }
  return report;
}

}  // namespace mail::store
