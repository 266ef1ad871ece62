// What an account and its mailboxes carry beside messages: special use, METADATA, ACL, quota.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/id.h"
#include "base/strings.h"
#include "store/account_impl.h"
#include "store/dotlock.h"
#include "store/file_name.h"
#include "store/rights.h"
#include "store/store_impl.h"
#include "store/text_file.h"
#include "store/uidlist_file.h"

namespace mail::store {

namespace {
const std::string kProperties = "relais-mailbox", kServerProperties = "relais-account", kAcl = "dovecot-acl",
                  kMaildirsize = "maildirsize", kQuota = "quota";
/// What stands before the mailbox id in the property that holds its URLAUTH key.
constexpr std::string_view kAccessKey = "urlauth-key ";
/// A file of small values; larger is not ours.
constexpr std::uint64_t kPropertiesMost = 16U << 20;
/// Maildir++: a longer maildirsize is counted anew.
constexpr std::uint64_t kMaildirsizeMost = 5120;

Result<std::string> read_small(Disk& disk, const Directory& directory, const std::string& name) {
  auto fd = disk.open(directory, name, O_RDONLY);
  if (!fd && fd.error().kind == Error::Kind::not_found) return std::string();
  if (!fd) return tl::unexpected(std::move(fd).error());
  return read_file(fd->get(), kPropertiesMost);
}
}  // namespace

Result<std::map<std::string, std::string>> AccountImpl::read_properties(const Directory& folder) {
  MAIL_TRY(text, read_small(*context_->disk, folder, kProperties));
  return parse_properties(text);
}

Status AccountImpl::change_property(const Directory& folder, const std::string& mailbox, const std::string& key,
                                    const std::optional<std::string>& value) {
  MAIL_TRY(lock, Dotlock::take(*context_->disk, folder, kProperties + ".lock"));
  (void)lock;
  std::lock_guard noting(notes_mutex_);
  MAIL_TRY(properties, read_properties(folder));
  const auto before = properties;
  if (value)
    properties[key] = *value;
  else
    properties.erase(key);
  MAIL_CHECK(
      replace_file(*context_->disk, folder, kProperties, format_properties(properties), context_->settings.flush));
  changed_here(mailbox, before, properties);
  return {};
}

/// What the kernel tells of it is no news then. What others changed just before still is.
void AccountImpl::changed_here(const std::string& mailbox, const std::map<std::string, std::string>& before,
                               const std::map<std::string, std::string>& after) {
  const auto known = known_notes_.find(mailbox);
  if (known == known_notes_.end()) return;
  auto& entries = known->second.entries;
  for (const auto& [key, value] : before)
    if (!after.contains(key)) entries.erase(key);
  for (const auto& [key, value] : after) {
    const auto was = before.find(key);
    if (key.starts_with('/') && (was == before.end() || was->second != value)) entries[key] = value;
  }
}

Result<std::map<std::string, std::string>> AccountImpl::read_server_properties() {
  MAIL_TRY(text, read_small(*context_->disk, root_, kServerProperties));
  return parse_properties(text);
}

Status AccountImpl::change_server_properties(const std::function<bool(std::map<std::string, std::string>&)>& change) {
  MAIL_TRY(lock, Dotlock::take(*context_->disk, root_, kServerProperties + ".lock"));
  (void)lock;
  std::lock_guard noting(notes_mutex_);
  MAIL_TRY(properties, read_server_properties());
  const auto before = properties;
  if (!change(properties)) return {};
  MAIL_CHECK(
      replace_file(*context_->disk, root_, kServerProperties, format_properties(properties), context_->settings.flush));
  changed_here({}, before, properties);
  return {};
}

Result<std::optional<std::string>> AccountImpl::access_key(std::string_view mailbox_id) {
  MAIL_TRY(properties, read_server_properties());
  const auto found = properties.find(concat({kAccessKey, mailbox_id}));
  return found == properties.end() ? std::nullopt : from_hex(found->second);
}

Result<std::string> AccountImpl::make_access_key(std::string_view mailbox_id, bool anew) {
  const auto name = concat({kAccessKey, mailbox_id});
  std::string key;
  MAIL_CHECK(change_server_properties([&](auto& properties) {
    const auto found = properties.find(name);
    if (auto there = found == properties.end() || anew ? std::nullopt : from_hex(found->second)) {
      key = std::move(*there);
      return false;
    }
    key = random_octets(32);
    properties[name] = to_hex(key);
    return true;
  }));
  return key;
}

Status AccountImpl::remove_access_keys() {
  return change_server_properties([](auto& properties) {
    return std::erase_if(properties, [](const auto& entry) { return entry.first.starts_with(kAccessKey); }) > 0;
  });
}

Status AccountImpl::set_special_use(std::string_view name, std::string_view special_use) {
  if (!special_use.empty() && !is_special_use(special_use)) return fail(Error::Kind::refused, "not a special use");
  MAIL_TRY(normal, normal_name(name, rules()));
  MAIL_TRY(folder, open_folder(folder_of(normal, rules())));
  MAIL_CHECK(change_property(folder, normal, "special-use",
                             special_use.empty() ? std::nullopt : std::optional(std::string(special_use))));
  std::lock_guard lock(list_mutex_);
  list_cache_.root_time = -1;
  return {};
}

Result<std::map<std::string, std::string>> AccountImpl::metadata(std::string_view mailbox) {
  std::map<std::string, std::string> all;
  if (mailbox.empty()) {
    MAIL_TRY(properties, read_server_properties());
    all = std::move(properties);
  } else {
    MAIL_TRY(normal, normal_name(mailbox, rules()));
    MAIL_TRY(folder, open_folder(folder_of(normal, rules())));
    MAIL_TRY(properties, read_properties(folder));
    all = std::move(properties);
  }
  std::erase_if(all, [](const auto& entry) { return !entry.first.starts_with('/'); });
  return all;
}

Status AccountImpl::set_metadata(std::string_view mailbox, std::string_view entry, std::optional<std::string> value) {
  const auto key = to_lower(entry);
  if (!key.starts_with("/private/") && !key.starts_with("/shared/"))
    return fail(Error::Kind::refused, "not an entry name");
  std::string normal;
  if (mailbox.empty()) {
    MAIL_CHECK(change_server_properties([&](auto& properties) {
      if (value)
        properties[key] = *value;
      else
        properties.erase(key);
      return true;
    }));
  } else {
    MAIL_TRY(name, normal_name(mailbox, rules()));
    MAIL_TRY(folder, open_folder(folder_of(name, rules())));
    MAIL_CHECK(change_property(folder, name, key, value));
    normal = std::move(name);
  }
  tell_changed({AccountChange::Kind::metadata, normal, {}, key});
  return {};
}

Result<std::map<std::string, Rights>> AccountImpl::acl(std::string_view mailbox) {
  MAIL_TRY(normal, normal_name(mailbox, rules()));
  // Asked at every SELECT, and nearly always there is none: one look below the root tells it.
  const auto folder = folder_of(normal, rules());
  const auto path = folder.empty() ? kAcl : concat({folder, "/", kAcl});
  auto fd = context_->disk->open(root_, path, O_RDONLY);
  if (!fd && fd.error().kind == Error::Kind::not_found) return Acl{};
  if (!fd) return tl::unexpected(std::move(fd).error());
  MAIL_TRY(text, read_file(fd->get(), kPropertiesMost));
  return parse_acl(text);
}

Status AccountImpl::set_acl(std::string_view mailbox, std::string_view identifier, std::optional<Rights> rights) {
  if (identifier.empty() || identifier.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    return fail(Error::Kind::refused, "not an identifier");
  MAIL_TRY(normal, normal_name(mailbox, rules()));
  MAIL_TRY(folder, open_folder(folder_of(normal, rules())));
  MAIL_CHECK(change_acl(folder, normal, std::string(identifier), rights));
  tell_changed({AccountChange::Kind::rights, normal});
  return {};
}

Status AccountImpl::change_acl(const Directory& folder, const std::string& mailbox, const std::string& identifier,
                               const std::optional<Rights>& rights) {
  MAIL_TRY(lock, Dotlock::take(*context_->disk, folder, kAcl + ".lock"));
  (void)lock;
  std::lock_guard noting(notes_mutex_);
  MAIL_TRY(text, read_small(*context_->disk, folder, kAcl));
  auto entries = parse_acl(text);
  const auto change = [&](auto& acl) {
    if (rights)
      acl[identifier] = *rights;
    else
      acl.erase(identifier);
  };
  change(entries);
  if (!entries.empty())
    MAIL_CHECK(replace_file(*context_->disk, folder, kAcl, format_acl(entries), context_->settings.flush));
  else if (!text.empty())
    MAIL_CHECK(context_->disk->unlink(folder, kAcl));
  if (const auto known = known_notes_.find(mailbox); known != known_notes_.end()) change(known->second.rights);
  return {};
}

QuotaLimits AccountImpl::quota_limits() const { return limits_; }

QuotaLimits AccountImpl::limits_in_force() {
  const auto properties = read_server_properties();
  if (!properties) return location_.quota;
  const auto found = properties->find(kQuota);
  if (found == properties->end()) return location_.quota;
  const auto [octets, messages] = split_once(found->second, ' ');
  return {parse_decimal<std::uint64_t>(octets).value_or(0), parse_decimal<std::uint64_t>(messages).value_or(0)};
}

Status AccountImpl::set_quota_limits(QuotaLimits limits) {
  MAIL_TRY(usage, count_usage());
  MAIL_CHECK(change_server_properties([&](auto& properties) {
    properties[kQuota] = concat({decimal(limits.octets), " ", decimal(limits.messages)});
    return true;
  }));
  std::lock_guard lock(quota_mutex_);
  limits_ = limits;
  return write_maildirsize(usage);
}

Result<QuotaUsage> AccountImpl::count_usage() {
  // By the sizes in the names; where a name has none, by the file.
  QuotaUsage out;
  auto& disk = *context_->disk;
  MAIL_TRY(files, disk.list(root_));
  std::vector<std::string> folders{""};
  for (const auto& file : files)
    if (name_of(file, rules())) folders.push_back(file);
  for (const auto& folder : folders) {
    auto directory = open_folder(folder);
    if (!directory) continue;
    for (const auto* part : {"cur", "new"}) {
      const auto below = disk.open_directory_at(*directory, part);
      if (!below) continue;
      MAIL_TRY(names, disk.list(*below));
      for (const auto& name : names) {
        if (name.front() == '.') continue;
        auto octets = parse_file_name(name).octets;
        if (!octets)
          if (const auto found = disk.stat(*below, name)) octets = static_cast<std::uint64_t>(found->st_size);
        if (!octets) continue;
        out.octets += *octets;
        ++out.messages;
      }
    }
  }
  return out;
}

Status AccountImpl::write_maildirsize(const QuotaUsage& usage) {
  return replace_file(*context_->disk, root_, kMaildirsize, format_maildirsize(limits_, usage), false);
}

Result<std::optional<std::pair<QuotaLimits, QuotaUsage>>> AccountImpl::read_maildirsize() {
  MAIL_TRY(text, read_small(*context_->disk, root_, kMaildirsize));
  std::optional<std::pair<QuotaLimits, QuotaUsage>> out;
  if (text.empty() || text.size() > kMaildirsizeMost) return out;
  const auto parsed = parse_maildirsize(text);
  if (!parsed || parsed->octets < 0 || parsed->messages < 0) return out;
  out = {parsed->limits, {static_cast<std::uint64_t>(parsed->octets), static_cast<std::uint64_t>(parsed->messages)}};
  return out;
}

Result<QuotaUsage> AccountImpl::quota_usage() {
  std::lock_guard lock(quota_mutex_);
  MAIL_TRY(known, read_maildirsize());
  // Another program may have been told other limits (SETQUOTA) since this one looked.
  if (known && !(known->first == limits_)) limits_ = limits_in_force();
  if (known) {
    // Limits in the file are those of the mail system that wrote it; ours win where there are any.
    if (limits_ == QuotaLimits{}) limits_ = known->first;
    if (known->first == limits_) return known->second;
  }
  MAIL_TRY(usage, count_usage());
  if (!(limits_ == QuotaLimits{})) MAIL_CHECK(write_maildirsize(usage));
  return usage;
}

Status AccountImpl::check_quota(std::uint64_t octets, std::uint64_t messages) {
  if (limits_ == QuotaLimits{} && !context_->disk->stat(root_, kMaildirsize)) return {};
  MAIL_TRY(usage, quota_usage());
  if (limits_ == QuotaLimits{}) return {};
  const auto over = [&](const QuotaUsage& now) {
    // What does not grow is not refused, even above a limit that was lowered.
    return (octets != 0 && exceeds({limits_.octets, 0}, {now.octets + octets, 0})) ||
           (messages != 0 && exceeds({0, limits_.messages}, {0, now.messages + messages}));
  };
  if (!over(usage)) return {};
  // Another program may have removed mail without saying so: count before refusing.
  MAIL_TRY(counted, count_usage());
  {
    std::lock_guard lock(quota_mutex_);
    MAIL_CHECK(write_maildirsize(counted));
  }
  if (!over(counted)) return {};
  return tl::unexpected(Error{Error::Kind::refused, "over quota", EDQUOT});
}

void AccountImpl::add_usage(std::int64_t octets, std::int64_t messages) {
  if (octets == 0 && messages == 0) return;
  // One appended line; O_APPEND keeps lines of several programs whole. Where there is no file there is no quota.
  const auto fd = context_->disk->open(root_, kMaildirsize, O_WRONLY | O_APPEND);
  if (fd) (void)context_->disk->write(fd->get(), concat({decimal(octets), " ", decimal(messages), "\n"}));
}

}  // namespace mail::store
