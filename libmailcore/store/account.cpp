// Accounts: opening mailboxes, APPEND, COPY and MOVE between them.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "store/account_impl.h"
#include "store/file_name.h"
#include "store/staged_file.h"
#include "store/store_impl.h"
#include "store/summary_cache.h"
#include "store/text_index.h"
#include "store/uidlist_file.h"
#include "store/view.h"

namespace mail::store {

namespace {

/// Opens `name` below `parent`, making it where it is missing.
Result<Directory> make_and_open(Disk& disk, const Directory& parent, const std::string& name) {
  auto opened = disk.open_directory_at(parent, name);
  if (opened || opened.error().kind != Error::Kind::not_found) return opened;
  const auto made = disk.make_directory(parent, name);
  if (!made && made.error().system != EEXIST) return tl::unexpected(made.error());
  return disk.open_directory_at(parent, name);
}

/// As mkdir -p below what exists.
Result<Directory> make_path(Disk& disk, const std::string& path) {
  auto opened = disk.open_directory(path);
  if (opened || opened.error().kind != Error::Kind::not_found) return opened;
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos || slash == 0) return opened;
  MAIL_TRY(parent, make_path(disk, path.substr(0, slash)));
  const auto name = path.substr(slash + 1);
  if (name.empty()) return disk.open_directory(path);
  MAIL_TRY(made, make_and_open(disk, parent, name));
  (void)disk.sync_directory(parent);
  return std::move(made);
}

}  // namespace

AccountImpl::AccountImpl(std::weak_ptr<StoreImpl> store, std::shared_ptr<StoreContext> context,
                         AccountLocation location)
    : store_(std::move(store)),
      context_(std::move(context)),
      location_(std::move(location)),
      limits_(location_.quota) {}

AccountImpl::~AccountImpl() { close(); }

void AccountImpl::close() {
  std::lock_guard lock(mutex_);
  if (const auto store = store_.lock())
    for (const auto& [name, open] : mailboxes_) store->unwatch(open.mailbox.get());
  mailboxes_.clear();
}

Store& AccountImpl::store() { return *store_.lock(); }

NameRules AccountImpl::rules() const { return {context_->settings.separator, context_->settings.utf8_names}; }

Result<std::shared_ptr<AccountImpl>> AccountImpl::open(std::weak_ptr<StoreImpl> store,
                                                       std::shared_ptr<StoreContext> context,
                                                       const AccountLocation& location) {
  if (location.maildir.empty() || location.maildir.front() != '/')
    return fail(Error::Kind::permanent, concat({"not an absolute path: ", location.maildir}));
  std::shared_ptr<AccountImpl> account(new AccountImpl(std::move(store), std::move(context), location));
  auto& disk = *account->context_->disk;
  MAIL_TRY(root, make_path(disk, location.maildir));
  account->root_ = std::move(root);
  for (const auto* name : {"cur", "new", "tmp"}) MAIL_CHECK(make_and_open(disk, account->root_, name));
  account->limits_ = account->limits_in_force();
  if (!location.index_directory.empty()) {
    MAIL_TRY(index, make_path(disk, location.index_directory));
    account->index_root_ = std::move(index);
  }
  account->summaries_ =
      std::make_shared<SummaryCache>(disk, account->index_root_ ? account->index_root_ : account->root_);
  MAIL_CHECK(account->summaries_->open());
  account->texts_ = std::make_shared<TextIndex>(disk, account->index_root_ ? account->index_root_ : account->root_);
  MAIL_CHECK(account->texts_->open());
  if (const auto names = disk.list(account->root_))  // what a DELETE that was interrupted left
    for (const auto& name : *names)
      if (name.starts_with("relais-removed-")) (void)account->remove_tree(account->root_, name);
  return account;
}

Result<Directory> AccountImpl::open_folder(const std::string& folder) {
  if (folder.empty()) return context_->disk->open_directory(location_.maildir);
  return context_->disk->open_directory_at(root_, folder);
}

Result<Directory> AccountImpl::open_index(const std::string& folder) {
  if (!index_root_) return Directory();
  return make_and_open(*context_->disk, index_root_, folder.empty() ? std::string("INBOX") : folder);
}

UidValidity AccountImpl::new_uid_validity() {
  // As Dovecot's dovecot-uidvalidity: the clock, but always above the last one given in this account.
  auto& disk = *context_->disk;
  std::uint32_t last = 0;
  if (auto fd = disk.open(root_, "dovecot-uidvalidity", O_RDONLY))
    if (const auto text = read_file(fd->get(), 64))
      last = static_cast<std::uint32_t>(std::strtoul(std::string(trim(*text)).c_str(), nullptr, 16));
  const auto now = static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(context_->clock->now().time_since_epoch()).count());
  const auto next = std::max(now, last + 1);
  const auto hex = [](std::uint32_t value) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", value);
    return std::string(text);
  };
  if (replace_file(disk, root_, "dovecot-uidvalidity", hex(next), context_->settings.flush)) {
    const auto marker = concat({"dovecot-uidvalidity.", hex(next)});
    if (last == 0 || !disk.rename(root_, concat({"dovecot-uidvalidity.", hex(last)}), root_, marker))
      (void)disk.open(root_, marker, O_WRONLY | O_CREAT, 0444);
  }
  return static_cast<UidValidity>(next);
}

std::shared_ptr<Mailbox> AccountImpl::mailbox_ready(std::string_view name) {
  const auto normal = normal_name(name, rules());
  if (!normal) return nullptr;
  used();
  std::lock_guard lock(mutex_);
  const auto found = mailboxes_.find(*normal);
  if (found == mailboxes_.end()) return nullptr;
  found->second.used = std::chrono::steady_clock::now();
  return found->second.mailbox;
}

Result<std::shared_ptr<Mailbox>> AccountImpl::mailbox(std::string_view name) {
  MAIL_TRY(normal, normal_name(name, rules()));
  if (auto ready = mailbox_ready(normal)) {
    if (!ready->gone()) {
      if (ready->stale()) MAIL_CHECK(ready->refresh());
      return ready;
    }
    forget(normal);
  }
  std::lock_guard opening(open_mutex_);
  if (auto ready = mailbox_ready(normal)) return ready;
  const auto folder = folder_of(normal, rules());
  Mailbox::Place place;
  place.name = normal;
  MAIL_TRY(directory, open_folder(folder));
  place.folder = std::move(directory);
  MAIL_TRY(index, open_index(folder));
  place.index = std::move(index);
  place.summaries = summaries_;
  place.texts = texts_;
  std::weak_ptr<AccountImpl> self = weak_from_this();
  place.new_uid_validity = [self] {
    const auto account = self.lock();
    return account ? account->new_uid_validity() : UidValidity{1};
  };
  place.changed = [listeners = listeners_, normal = normal] {
    if (listeners->any) listeners->tell({AccountChange::Kind::messages, normal});
  };
  place.usage = [self](std::int64_t octets, std::int64_t messages) {
    if (const auto account = self.lock()) account->add_usage(octets, messages);
  };
  MAIL_TRY(opened, Mailbox::open(context_, std::move(place)));
  if (const auto store = store_.lock()) store->watch(opened);
  MAIL_CHECK(opened->refresh());
  if (opened->has_pending() && context_->pending) context_->pending(opened);  // what an earlier process left
  std::lock_guard lock(mutex_);
  mailboxes_[normal] = {opened, std::chrono::steady_clock::now()};
  return opened;
}

Result<std::shared_ptr<DeliveryFolder>> AccountImpl::delivery_folder(std::string_view name) {
  MAIL_TRY(normal, normal_name(name, rules()));
  used();
  {
    std::lock_guard lock(mutex_);
    const auto found = delivery_folders_.find(normal);
    struct stat there {};
    if (found != delivery_folders_.end() && ::fstat(found->second->cur.fd(), &there) == 0 && there.st_nlink > 0)
      return found->second;
  }
  auto& disk = *context_->disk;
  auto folder = std::make_shared<DeliveryFolder>();
  MAIL_TRY(directory, open_folder(folder_of(normal, rules())));
  folder->directory = std::move(directory);
  const auto open_one = [&](const char* part, Directory& out) -> Status {
    MAIL_TRY(opened, make_and_open(disk, folder->directory, part));
    out = std::move(opened);
    return {};
  };
  MAIL_CHECK(open_one("cur", folder->cur));
  MAIL_CHECK(open_one("new", folder->fresh));
  MAIL_CHECK(open_one("tmp", folder->tmp));
  struct stat where {};
  if (::fstat(folder->tmp.fd(), &where) != 0) return fail_errno("delivering to", folder->directory.path());
  folder->device = where.st_dev;
  std::lock_guard lock(mutex_);
  if (delivery_folders_.size() > 64) delivery_folders_.clear();
  delivery_folders_[normal] = folder;
  return folder;
}

void AccountImpl::forget(const std::string& name) {
  std::shared_ptr<Mailbox> gone;
  {
    std::lock_guard lock(mutex_);
    const auto found = mailboxes_.find(name);
    delivery_folders_.erase(name);
    if (found == mailboxes_.end()) return;
    gone = found->second.mailbox;
    mailboxes_.erase(found);
  }
  if (const auto store = store_.lock(); store && gone->views() == 0) store->unwatch(gone.get());
}

bool AccountImpl::unused_since(std::chrono::steady_clock::time_point time) const { return last_used_.load() < time; }

void AccountImpl::let_go(std::chrono::steady_clock::time_point unused_since) {
  std::vector<std::shared_ptr<Mailbox>> idle;
  {
    std::lock_guard lock(mutex_);
    for (auto at = mailboxes_.begin(); at != mailboxes_.end();) {
      if (at->second.mailbox->views() == 0 && at->second.used < unused_since && !at->second.mailbox->has_pending()) {
        idle.push_back(at->second.mailbox);
        at = mailboxes_.erase(at);
      } else {
        ++at;
      }
    }
  }
  const auto store = store_.lock();
  for (const auto& mailbox : idle) {
    (void)mailbox->compact_files(true);
    if (store) store->unwatch(mailbox.get());
  }
}

std::vector<std::shared_ptr<Mailbox>> AccountImpl::open_mailboxes() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Mailbox>> out;
  for (const auto& [name, open] : mailboxes_) out.push_back(open.mailbox);
  return out;
}

Result<std::shared_ptr<View>> AccountImpl::select(std::string_view name, bool read_only) {
  MAIL_TRY(opened, mailbox(name));
  return opened->view(shared_from_this(), read_only);
}

std::shared_ptr<View> AccountImpl::select_ready(std::string_view name, bool read_only) {
  const auto ready = mailbox_ready(name);
  if (!ready || ready->gone() || ready->stale() || (!read_only && ready->has_recent())) return nullptr;
  auto view = ready->view(shared_from_this(), read_only);
  return view ? *view : nullptr;
}

Result<MailboxStatus> AccountImpl::status(std::string_view name) {
  MAIL_TRY(opened, mailbox(name));
  return opened->status();
}

std::optional<MailboxStatus> AccountImpl::status_ready(std::string_view name) {
  const auto ready = mailbox_ready(name);
  if (!ready || ready->gone() || ready->stale()) return std::nullopt;
  return ready->status();
}

Result<std::shared_ptr<StagedMessage>> AccountImpl::stage(std::string_view name) {
  MAIL_TRY(opened, mailbox(name));
  MAIL_TRY(staged, opened->stage());
  return std::static_pointer_cast<StagedMessage>(staged);
}

Result<CopyOutcome> AccountImpl::append(std::string_view name, std::span<const NewMessage> messages,
                                        const QuotaUsage& replaced) {
  MAIL_TRY(target, mailbox(name));
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(context_->clock->now().time_since_epoch()).count();
  const auto limit = context_->settings.append_octets;
  std::vector<std::shared_ptr<StagedFile>> staged;
  Arrival arrival;
  auto& incoming = arrival.incoming;
  std::uint64_t octets = 0;
  CopyOutcome out;
  std::size_t repeated = 0;
  for (const auto& message : messages) {
    if (!message.id.empty())
      if (const auto known = target->find_id(plain_id(message.id))) {
        out.destination.add(*known);
        ++repeated;
        continue;
      }
    auto file = std::dynamic_pointer_cast<StagedFile>(message.staged);
    if (!file) {
      if (limit != 0 && message.octets.size() > limit)
        return fail(Error::Kind::permanent, "the message is larger than allowed");
      MAIL_TRY(made, target->stage());
      file = std::move(made);
      MAIL_CHECK(file->write(message.octets));
    }
    if (limit != 0 && file->octets() > limit) return fail(Error::Kind::permanent, "the message is larger than allowed");
    const auto date = message.internal_date.value_or(now);
    MAIL_CHECK(file->finish(date));
    octets += file->file_octets();
    Incoming in;
    in.from = &file->directory();
    in.from_name = file->name();
    in.row.flags = message.flags;
    in.row.internal_date = date;
    in.row.save_date = now;
    in.row.file_octets = file->file_octets();
    in.row.wire_octets = file->wire_octets();
    in.row.base =
        with_check(message.id.empty() ? file->name() : make_base(context_->settings.host, message.id, now * 1000000),
                   file->hash());
    append_sizes(in.row.base, in.row.file_octets, in.row.wire_octets);
    if (!message.keywords.empty() || has(message.flags, Flags::forwarded)) {
      MAIL_TRY(writing, target->begin());
      MAIL_TRY(bits, target->keyword_bits(writing, target->stored_keywords(message.flags, message.keywords), true));
      in.row.keywords = bits;
    }
    arrival.files.push_back(file->fd());
    staged.push_back(std::move(file));
    incoming.push_back(std::move(in));
  }
  out.uid_validity = target->status_uid_validity();
  if (incoming.empty()) return out;
  MAIL_CHECK(check_quota(octets - std::min(octets, replaced.octets),
                         incoming.size() - std::min<std::size_t>(incoming.size(), replaced.messages)));
  const auto uids = target->append(arrival);
  for (std::size_t i = 0; uids && i < staged.size(); ++i)
    if (!incoming[i].carried) staged[i]->taken();
  if (!uids) return tl::unexpected(uids.error());
  for (const auto& range : uids->ranges()) out.destination.add(range.first, range.last);
  return out;
}

}  // namespace mail::store
