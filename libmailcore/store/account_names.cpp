// The names of an account's mailboxes: LIST, CREATE, DELETE, RENAME, SUBSCRIBE.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/id.h"
#include "base/mutf7.h"
#include "base/strings.h"
#include "store/account_impl.h"
#include "store/dotlock.h"
#include "store/store_impl.h"
#include "store/text_file.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {

const std::string kSubscriptions = "subscriptions";
const std::string kCourierSubscriptions = "courierimapsubscribed";  // "INBOX.Sent" lines

/// Names that carry a special use where no mailbox has been given it.
struct DefaultUse {
  std::string_view name, use;
};
constexpr std::array kDefaultUses{DefaultUse{"Archive", "\\Archive"}, DefaultUse{"Drafts", "\\Drafts"},
                                  DefaultUse{"Junk", "\\Junk"}, DefaultUse{"Sent", "\\Sent"},
                                  DefaultUse{"Trash", "\\Trash"}};

std::int64_t time_of(const struct stat& found) {
  return std::int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec;
}

tl::unexpected<Error> already(const char* text) { return tl::unexpected(Error{Error::Kind::refused, text, EEXIST}); }

}  // namespace

bool is_special_use(std::string_view attribute) {
  for (const auto* use : {"\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash"})
    if (iequals(attribute, use)) return true;
  return false;
}

Result<std::vector<std::string>> AccountImpl::subscriptions() {
  auto fd = context_->disk->open(root_, kSubscriptions, O_RDONLY);
  const bool courier = !fd && fd.error().kind == Error::Kind::not_found;  // until there is a file of our own
  if (courier) fd = context_->disk->open(root_, kCourierSubscriptions, O_RDONLY);
  if (!fd && fd.error().kind == Error::Kind::not_found) return std::vector<std::string>{};
  if (!fd) return tl::unexpected(std::move(fd).error());
  MAIL_TRY(text, read_file(fd->get(), 64U << 20));
  std::vector<std::string> out;
  const auto rule = rules();
  for (auto& parts : parse_subscriptions(text, '.')) {
    if (courier && parts.size() > 1 && parts.front() == "INBOX") parts.erase(parts.begin());
    std::vector<std::string> decoded;
    for (const auto& part : parts) {
      auto name = rule.utf8_on_disk ? std::optional(part) : from_mutf7(part);
      decoded.push_back(name ? *name : part);
    }
    const auto name = normal_name(join(decoded, std::string_view(&rule.separator, 1)), rule);
    if (name) out.push_back(*name);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Status AccountImpl::write_subscriptions(const std::vector<std::string>& names) {
  std::vector<std::vector<std::string>> lines;
  const auto rule = rules();
  for (const auto& name : names) {
    std::vector<std::string> parts;
    for (const auto part : split(name, rule.separator))
      parts.push_back(rule.utf8_on_disk ? std::string(part) : to_mutf7(part).value_or(std::string(part)));
    lines.push_back(std::move(parts));
  }
  return replace_file(*context_->disk, root_, kSubscriptions, format_subscriptions(lines), context_->settings.flush);
}

Status AccountImpl::subscribe(std::string_view name, bool subscribed) {
  MAIL_TRY(normal, normal_name(name, rules()));
  MAIL_TRY(lock, Dotlock::take(*context_->disk, root_, kSubscriptions + ".lock"));
  (void)lock;
  MAIL_TRY(names, subscriptions());
  const auto found = std::find(names.begin(), names.end(), normal);
  if ((found != names.end()) == subscribed) return {};
  if (subscribed)
    names.push_back(normal);
  else
    names.erase(found);
  std::lock_guard naming(names_mutex_);
  MAIL_CHECK(write_subscriptions(names));
  tell_changed({AccountChange::Kind::subscription, normal});
  return {};
}

std::string AccountImpl::use_of(const std::string& name, const Directory* folder) {
  if (folder != nullptr)
    if (const auto properties = read_properties(*folder))
      if (const auto found = properties->find("special-use"); found != properties->end()) return found->second;
  for (const auto& use : kDefaultUses)
    if (name == use.name) return std::string(use.use);
  return {};
}

Result<std::vector<MailboxEntry>> AccountImpl::list() {
  auto& disk = *context_->disk;
  used();
  struct stat root_stat {};
  if (::fstat(root_.fd(), &root_stat) != 0) return fail_errno("listing", root_.path());
  std::int64_t subscriptions_time = 0;
  if (const auto found = disk.stat(root_, kSubscriptions)) subscriptions_time = time_of(*found);
  std::lock_guard lock(list_mutex_);
  // A change within the kernel's tick after our look would not show in the time.
  const bool settled = list_cache_.taken - list_cache_.root_time > 20'000'000;
  if (settled && list_cache_.root_time == time_of(root_stat) && list_cache_.subscriptions_time == subscriptions_time)
    return list_cache_.entries;

  const auto rule = rules();
  MAIL_TRY(files, disk.list(root_));
  MAIL_TRY(subscribed, subscriptions());
  std::map<std::string, MailboxEntry, std::function<bool(const std::string&, const std::string&)>> entries(
      [&](const std::string& a, const std::string& b) { return name_less(a, b, rule.separator); });
  entries["INBOX"].name = "INBOX";
  std::set<std::string> taken_uses;
  for (const auto& file : files) {
    const auto name = name_of(file, rule);
    if (!name) continue;
    const auto folder = disk.open_directory_at(root_, file);
    if (!folder) continue;
    auto& entry = entries[*name];
    entry.name = *name;
    entry.exists = true;
    if (const auto properties = read_properties(*folder))
      if (const auto found = properties->find("special-use"); found != properties->end())
        entry.special_use = found->second, taken_uses.insert(found->second);
  }
  for (const auto& use : kDefaultUses) {
    const auto found = entries.find(std::string(use.name));
    if (found != entries.end() && found->second.special_use.empty() && taken_uses.count(std::string(use.use)) == 0)
      found->second.special_use = use.use;
  }
  for (const auto& name : subscribed) {
    auto& entry = entries[name];
    if (entry.name.empty()) entry.exists = false;
    entry.name = name;
    entry.subscribed = true;
  }
  // Parents that are only names.
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries)
    if (entry.exists) names.push_back(name);
  for (const auto& name : names) {
    for (auto at = name.rfind(rule.separator); at != std::string::npos;
         at = at == 0 ? std::string::npos : name.rfind(rule.separator, at - 1)) {
      auto& parent = entries[name.substr(0, at)];
      if (parent.name.empty()) parent.name = name.substr(0, at), parent.exists = false;
      parent.has_children = true;
    }
  }
  list_cache_.root_time = time_of(root_stat);
  list_cache_.subscriptions_time = subscriptions_time;
  list_cache_.taken =
      std::chrono::duration_cast<std::chrono::nanoseconds>(context_->clock->now().time_since_epoch()).count();
  list_cache_.entries.clear();
  for (auto& [name, entry] : entries) list_cache_.entries.push_back(std::move(entry));
  return list_cache_.entries;
}

Result<MailboxEntry> AccountImpl::find(std::string_view name) {
  MAIL_TRY(normal, normal_name(name, rules()));
  MAIL_TRY(folder, open_folder(folder_of(normal, rules())));
  MailboxEntry entry;
  entry.name = normal;
  entry.special_use = use_of(normal, &folder);
  if (const auto names = subscriptions()) entry.subscribed = std::binary_search(names->begin(), names->end(), normal);
  return entry;
}

Status AccountImpl::create(std::string_view name, std::string_view special_use) {
  MAIL_TRY(normal, normal_name(name, rules()));
  if (!special_use.empty() && !is_special_use(special_use))
    return fail(Error::Kind::refused, concat({"not a special use: ", printable(special_use)}));
  auto& disk = *context_->disk;
  const auto folder = folder_of(normal, rules());
  if (folder.empty()) return already("INBOX exists");
  std::lock_guard naming(names_mutex_);
  const auto made = disk.make_directory(root_, folder);
  if (!made && made.error().system == EEXIST) return already("the mailbox exists");
  MAIL_CHECK(made);
  const auto fill = [&]() -> Status {
    MAIL_TRY(directory, disk.open_directory_at(root_, folder));
    for (const auto* part : {"cur", "new", "tmp"}) MAIL_CHECK(disk.make_directory(directory, part));
    MAIL_TRY(marker, disk.open(directory, "maildirfolder", O_WRONLY | O_CREAT,
                               0600));  // Maildir++: tells delivery programs that this is a folder
    MAIL_CHECK(disk.close(std::move(marker)));
    if (!special_use.empty()) MAIL_CHECK(change_property(directory, normal, "special-use", std::string(special_use)));
    if (!context_->settings.flush) return {};
    MAIL_CHECK(disk.sync_directory(directory));
    return disk.sync_directory(root_);
  };
  const auto filled = fill();
  if (!filled)
    (void)remove_tree(root_, folder);
  else
    tell_changed({AccountChange::Kind::created, normal});
  return filled;
}

Status AccountImpl::remove_tree(const Directory& parent, const std::string& name) {
  auto& disk = *context_->disk;
  MAIL_TRY(directory, disk.open_directory_at(parent, name));
  MAIL_TRY(names, disk.list(directory));
  for (const auto& entry : names) {
    const auto found = disk.stat(directory, entry);
    if (found && S_ISDIR(found->st_mode))
      MAIL_CHECK(remove_tree(directory, entry));
    else if (found)
      MAIL_CHECK(disk.unlink(directory, entry));
  }
  return disk.remove_directory(parent, name);
}

Status AccountImpl::remove(std::string_view name) {
  MAIL_TRY(normal, normal_name(name, rules()));
  if (normal == "INBOX") return fail(Error::Kind::refused, "INBOX cannot be deleted");
  auto& disk = *context_->disk;
  const auto folder = folder_of(normal, rules());
  if (auto opened = mailbox(normal)) {
    const auto status = (*opened)->status();
    add_usage(-static_cast<std::int64_t>((*opened)->file_octets()), -std::int64_t{status.messages});
  }
  // Out of the way at once, by one rename; its content goes after that, also where this process dies here.
  const auto aside = concat({"relais-removed-", random_token(12)});
  {
    std::lock_guard naming(names_mutex_);
    MAIL_CHECK(disk.rename(root_, folder, root_, aside));
    tell_changed({AccountChange::Kind::removed, normal});
  }
  forget(normal);
  if (context_->settings.flush) MAIL_CHECK(disk.sync_directory(root_));
  (void)remove_tree(root_, aside);
  if (index_root_) (void)remove_tree(index_root_, folder);
  return {};
}

Status AccountImpl::rename(std::string_view from, std::string_view to) {
  MAIL_TRY(old_name, normal_name(from, rules()));
  MAIL_TRY(new_name, normal_name(to, rules()));
  if (new_name == "INBOX") return already("INBOX exists");
  auto& disk = *context_->disk;
  if (old_name == "INBOX") {  // its messages move, it stays (RFC 9051 section 6.3.6)
    MAIL_CHECK(create(new_name, {}));
    MAIL_TRY(inbox, select("INBOX", false));
    MAIL_CHECK(inbox->move(UidSet({{Uid{1}, Uid{UINT32_MAX}}}), new_name));
    return {};
  }
  const auto rule = rules();
  const auto separator = rule.separator;
  if (new_name.starts_with(old_name) && new_name.size() > old_name.size() && new_name[old_name.size()] == separator)
    return fail(Error::Kind::refused, "a mailbox cannot become its own child");
  const auto old_folder = folder_of(old_name, rule), new_folder = folder_of(new_name, rule);
  MAIL_TRY(files, disk.list(root_));
  std::vector<std::pair<std::string, std::string>> moves;
  bool found = false;
  for (const auto& file : files) {
    const bool child =
        file.size() > old_folder.size() && file.starts_with(old_folder) && file[old_folder.size()] == '.';
    if (file != old_folder && !child) continue;
    found = true;
    moves.emplace_back(file, new_folder + file.substr(old_folder.size()));
    if (moves.back().second.size() > kNameOctetsMost) return fail(Error::Kind::refused, "the name is too long");
  }
  if (!found) return fail(Error::Kind::not_found, "no such mailbox");
  std::set<std::string_view> existing(files.begin(), files.end());
  for (const auto& [old_file, new_file] : moves)
    if (existing.count(new_file) != 0) return already("the mailbox exists");
  std::sort(moves.begin(), moves.end());
  std::lock_guard naming(names_mutex_);
  for (std::size_t i = 0; i < moves.size(); ++i) {
    const auto moved = disk.rename(root_, moves[i].first, root_, moves[i].second);
    if (moved) continue;
    for (; i > 0; --i) (void)disk.rename(root_, moves[i - 1].second, root_, moves[i - 1].first);
    return moved;
  }
  if (context_->settings.flush) MAIL_CHECK(disk.sync_directory(root_));
  for (const auto& [old_file, new_file] : moves) {
    if (index_root_) {
      (void)remove_tree(index_root_, new_file);
      (void)disk.rename(index_root_, old_file, index_root_, new_file);
    }
    if (const auto name = name_of(old_file, rule)) forget(*name);
    if (const auto name = name_of(new_file, rule)) forget(*name);
  }
  tell_changed({AccountChange::Kind::renamed, new_name, old_name});
  return {};
}

}  // namespace mail::store
