#include "store/deliver.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "store/account_impl.h"
#include "store/file_name.h"
#include "store/staged_file.h"
#include "store/store_impl.h"

namespace mail::store {

namespace {

/// Of what one process delivered, so that a repetition is seen without listing the folder.
class RecentIds {
 public:
  bool contains(const std::string& key) {
    std::lock_guard lock(mutex_);
    return ids_.count(key) != 0;
  }
  void add(const std::string& key) {
    std::lock_guard lock(mutex_);
    if (ids_.size() > 100000) ids_.clear();  // the spool has long forgotten those
    ids_.insert(key);
  }

 private:
  std::mutex mutex_;
  std::set<std::string> ids_;
};

RecentIds& recent_ids() {
  static RecentIds ids;
  return ids;
}

std::string with_lf(std::string_view octets) {
  std::string out;
  out.reserve(octets.size());
  for (auto end = octets.find("\r\n"); end != std::string_view::npos; end = octets.find("\r\n")) {
    out.append(octets.substr(0, end)).push_back('\n');
    octets.remove_prefix(end + 2);
  }
  return out.append(octets);
}

/// Whether a file holds this message. A power cut may leave the name without the content, or with a part of it.
Result<bool> is_whole(int file, const Delivery& delivery, const DeliveryTarget& target) {
  const auto content = with_lf(delivery.content), prefix = with_lf(target.prefix);
  // The fields in front may have been others then: what counts is that they are there.
  MAIL_TRY(octets, read_file(file, content.size() + prefix.size() + 65536));
  if (octets.size() < content.size() || !std::string_view(octets).ends_with(content)) return false;
  const auto front = std::string_view(octets).substr(0, octets.size() - content.size());
  return front == prefix || (front.starts_with(std::string_view(prefix).substr(0, 12)) &&
                             front.find('\0') == std::string_view::npos && front.ends_with('\n'));
}

/// The message with this id, open, or nothing. What is torn is removed: the one who wrote it was cut off before it told
/// anybody.
Result<UniqueFd> find_id(Disk& disk, const Directory& directory, std::string_view id, const Delivery& delivery,
                         const DeliveryTarget& target) {
  MAIL_TRY(names, disk.list(directory));
  for (const auto& name : names) {
    if (id_of(name) != id) continue;
    auto file = disk.open(directory, name, O_RDONLY);
    if (!file && file.error().kind == Error::Kind::not_found) continue;  // a reader moved it
    if (!file) return tl::unexpected(std::move(file).error());
    const auto whole = is_whole(file->get(), delivery, target);
    if (whole && *whole) return std::move(*file);
    if (!whole && whole.error().kind != Error::Kind::permanent) return tl::unexpected(whole.error());
    log_event(LogLevel::warning, "torn_message_replaced", {{"folder", directory.path()}, {"file", name}});
    MAIL_CHECK(disk.unlink(directory, name));
  }
  return UniqueFd();
}

/// A file written once for several targets that want the same octets.
struct Written {
  const Directory* directory = nullptr;
  std::string name;
  std::uint64_t file_octets = 0, wire_octets = 0, hash = 0;
};

/// One call of deliver(): everything placed, then one flush.
class Run {
 public:
  explicit Run(StoreContext& context) : context_(context) {}
  Status place(const Delivery& delivery, const DeliveryTarget& target,
               std::map<std::pair<std::string, dev_t>, Written>& written);
  Status flush();

 private:
  Status write_file(const Delivery& delivery, const DeliveryTarget& target, const DeliveryFolder& folder,
                    const std::string& name, Written& out);

  StoreContext& context_;
  FlushSet set_;
  std::vector<UniqueFd> fds_;
  std::vector<std::shared_ptr<DeliveryFolder>> folders_;
  std::vector<std::string> keys_;
};

Result<KeywordBits> bits_of(AccountImpl& account, const DeliveryTarget& target) {
  if (target.keywords.empty() && !has(target.flags, Flags::forwarded)) return KeywordBits{0};
  MAIL_TRY(mailbox, account.mailbox(target.mailbox));
  MAIL_TRY(writing, mailbox->begin());
  return mailbox->keyword_bits(writing, mailbox->stored_keywords(target.flags, target.keywords), true);
}

Status Run::write_file(const Delivery& delivery, const DeliveryTarget& target, const DeliveryFolder& folder,
                       const std::string& name, Written& out) {
  auto& disk = *context_.disk;
  MAIL_TRY(fd, disk.open(folder.tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  UniqueFd again(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!again) return fail_errno("delivering to", folder.directory.path());
  StagedFile file(disk, nullptr, folder.tmp, name, std::move(fd));
  MAIL_CHECK(file.write(target.prefix));
  MAIL_CHECK(file.write(delivery.content));
  MAIL_CHECK(
      file.finish(std::chrono::duration_cast<std::chrono::seconds>(context_.clock->now().time_since_epoch()).count()));
  out.file_octets = file.file_octets();
  out.wire_octets = file.wire_octets();
  out.hash = file.hash();
  file.taken();
  set_.files.push_back(again.get());
  fds_.push_back(std::move(again));
  return {};
}

Status Run::place(const Delivery& delivery, const DeliveryTarget& target,
                  std::map<std::pair<std::string, dev_t>, Written>& written) {
  auto& disk = *context_.disk;
  auto* account = dynamic_cast<AccountImpl*>(target.account.get());
  if (account == nullptr) return fail(Error::Kind::permanent, "no account to deliver to");
  auto opened = account->delivery_folder(target.mailbox);
  if (!opened && opened.error().kind == Error::Kind::not_found && target.create) {
    const auto made = account->create(target.mailbox, {});
    if (!made && made.error().kind != Error::Kind::refused) return made;
    opened = account->delivery_folder(target.mailbox);
  }
  if (!opened) return tl::unexpected(std::move(opened).error());
  const auto folder = *opened;
  const auto id = plain_id(target.id);
  const auto key = concat({id, "/", folder->directory.path()});
  if (!id.empty()) {
    if (recent_ids().contains(key)) return {};
    for (const auto* place : {&folder->fresh, &folder->cur}) {
      if (!target.repeated) break;
      MAIL_TRY(found, find_id(disk, *place, id, delivery, target));
      if (!found) continue;
      // There, but perhaps not durable yet: the one who delivered it may have died before its flush.
      set_.files.push_back(found.get());
      fds_.push_back(std::move(found));
      set_.directories.push_back(place);
      folders_.push_back(folder);
      keys_.push_back(key);
      return {};
    }
  }
  MAIL_CHECK(account->check_quota(delivery.content.size() + target.prefix.size(), 1));
  MAIL_TRY(bits, bits_of(*account, target));

  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(context_.clock->now().time_since_epoch()).count();
  struct stat where {};
  if (::fstat(folder->tmp.fd(), &where) != 0) return fail_errno("delivering to", folder->directory.path());
  const auto name = make_base(context_.settings.host, id, micros);
  auto& same = written[{target.prefix, where.st_dev}];
  Written mine = same;
  const bool linked = same.directory != nullptr && disk.link(*same.directory, same.name, folder->tmp, name);
  if (!linked) MAIL_CHECK(write_file(delivery, target, *folder, name, mine));
  auto final_name = with_check(name, mine.hash);
  append_sizes(final_name, mine.file_octets, mine.wire_octets);
  const bool to_cur = target.flags != Flags::none || bits != 0;
  if (to_cur) append_info(final_name, target.flags, bits);
  const auto& place = to_cur ? folder->cur : folder->fresh;
  const auto moved = disk.rename(folder->tmp, name, place, final_name);
  if (!moved) {
    (void)disk.unlink(folder->tmp, name);
    return moved;
  }
  mine.directory = &place;
  mine.name = final_name;
  same = mine;
  account->add_usage(static_cast<std::int64_t>(mine.file_octets), 1);
  set_.directories.push_back(&place);
  folders_.push_back(folder);
  if (!id.empty()) keys_.push_back(key);
  return {};
}

Status Run::flush() {
  MAIL_CHECK(context_.flusher->flush(set_));
  for (const auto& key : keys_) recent_ids().add(key);
  return {};
}

}  // namespace

std::vector<DeliveryOutcome> deliver(Store& store, std::span<const Delivery> deliveries) {
  auto* impl = dynamic_cast<StoreImpl*>(&store);
  Run run(*impl->context());
  std::vector<DeliveryOutcome> out(deliveries.size());
  for (std::size_t i = 0; i < deliveries.size(); ++i) {
    std::map<std::pair<std::string, dev_t>, Written> written;
    for (const auto& target : deliveries[i].targets)
      out[i].targets.push_back(run.place(deliveries[i], target, written));
  }
  const auto flushed = run.flush();
  if (!flushed)
    for (auto& outcome : out)
      for (auto& target : outcome.targets)
        if (target) target = flushed;  // it may be there all the same: the next attempt, with `repeated`, finds it
  return out;
}

}  // namespace mail::store
