#include "store/deliver.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <set>
#include <unordered_map>

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

/// Where files with an id lie in folders, as they were at the first question: after a crash thousands of messages ask,
/// and a folder is long.
class EarlierFiles {
 public:
  struct Place {
    bool in_cur = false;
    std::string name;
  };
  /// What the folder held under this id. (A reader may have renamed it since.)
  Result<std::optional<Place>> find(Disk& disk, const DeliveryFolder& folder, const std::string& id, bool look_again) {
    const std::lock_guard lock(mutex_);
    const auto& path = folder.directory.path();
    auto known = folders_.find(path);
    if (known == folders_.end() || look_again) {
      std::unordered_map<std::string, Place> files;
      // In this order: files go from new to cur, so that one on its way is seen in one of them.
      for (const auto* directory : {&folder.fresh, &folder.cur}) {
        MAIL_TRY(names, disk.list(*directory));
        for (auto& name : names)
          if (const auto found = id_of(name); !found.empty())
            files[std::string(found)] = {directory == &folder.cur, std::move(name)};
      }
      known = folders_.insert_or_assign(path, std::move(files)).first;
    }
    const auto found = known->second.find(id);
    return found == known->second.end() ? std::nullopt : std::optional(found->second);
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    folders_.clear();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::unordered_map<std::string, Place>> folders_;
};

EarlierFiles& earlier_files() {
  static EarlierFiles files;
  return files;
}

/// The message with this id, open, and where it lies; or nothing. What is torn is removed: the one who wrote it was cut
/// off before it told anybody.
Result<std::pair<UniqueFd, const Directory*>> find_id(Disk& disk, const DeliveryFolder& folder, const std::string& id,
                                                      const Delivery& delivery, const DeliveryTarget& target) {
  constexpr int kLooks = 5;  // a reader may be renaming it all the time, and a crash may leave several
  for (int look = 0; look < kLooks; ++look) {
    MAIL_TRY(place, earlier_files().find(disk, folder, id, look > 0));
    if (!place) break;
    const auto& directory = place->in_cur ? folder.cur : folder.fresh;
    auto file = disk.open(directory, place->name, O_RDONLY);
    if (!file && file.error().kind == Error::Kind::not_found) continue;  // a reader moved it
    if (!file) return tl::unexpected(std::move(file).error());
    const auto whole = is_whole(file->get(), delivery, target);
    if (whole && *whole) return std::pair(std::move(*file), &directory);
    if (!whole && whole.error().kind != Error::Kind::permanent) return tl::unexpected(whole.error());
    log_event(LogLevel::warning, "torn_message_replaced", {{"folder", directory.path()}, {"file", place->name}});
    MAIL_CHECK(disk.unlink(directory, place->name));
  }
  return std::pair<UniqueFd, const Directory*>();
}

/// A file written once for several targets that want the same octets.
struct Written {
  const Directory* directory = nullptr;
  std::string name;
  std::uint64_t file_octets = 0, wire_octets = 0, hash = 0;
  UniqueFd file;
};

}  // namespace

/// One call of deliver(): everything placed, then one flush, or none.
class Run {
 public:
  Run(StoreContext& context, Unflushed* unflushed) : context_(context), unflushed_(unflushed) {}
  Status place(const Delivery& delivery, const DeliveryTarget& target,
               std::map<std::pair<std::string, dev_t>, Written>& written);
  Status flush();

 private:
  Status write_file(const Delivery& delivery, const DeliveryTarget& target, const DeliveryFolder& folder,
                    const std::string& name, Written& out);
  void placed(const std::shared_ptr<DeliveryFolder>& folder, const Directory& place, const std::string& key,
              UniqueFd file = {}, const std::string& written = {});

  StoreContext& context_;
  Unflushed* const unflushed_;
  FlushSet set_;
  std::vector<UniqueFd> fds_;
  std::vector<std::shared_ptr<DeliveryFolder>> folders_;
  std::vector<std::string> keys_;
};

namespace {
Result<KeywordBits> bits_of(AccountImpl& account, const DeliveryTarget& target) {
  if (target.keywords.empty() && !has(target.flags, Flags::forwarded)) return KeywordBits{0};
  MAIL_TRY(mailbox, account.mailbox(target.mailbox));
  MAIL_TRY(writing, mailbox->begin());
  return mailbox->keyword_bits(writing, mailbox->stored_keywords(target.flags, target.keywords), true);
}
}  // namespace

/// `file` is a descriptor of what was placed; none where another name of the same file is flushed already.
void Run::placed(const std::shared_ptr<DeliveryFolder>& folder, const Directory& place, const std::string& key,
                 UniqueFd file, const std::string& written) {
  auto& keys = unflushed_ != nullptr ? unflushed_->keys_ : keys_;
  if (!key.empty()) keys.push_back(key);
  if (unflushed_ != nullptr) {
    std::shared_ptr<const Directory> directory(folder, &place);
    if (!written.empty()) unflushed_->files_.push_back({directory, written});
    unflushed_->places_.try_emplace(folder->device, std::move(directory));
    return;
  }
  if (file) {
    set_.files.push_back(file.get());
    fds_.push_back(std::move(file));
  }
  set_.directories.push_back(&place);
  folders_.push_back(folder);
}

Status Run::write_file(const Delivery& delivery, const DeliveryTarget& target, const DeliveryFolder& folder,
                       const std::string& name, Written& out) {
  auto& disk = *context_.disk;
  MAIL_TRY(fd, disk.open(folder.tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  StagedFile file(disk, nullptr, folder.tmp, name, std::move(fd));
  MAIL_CHECK(file.write(target.prefix));
  MAIL_CHECK(file.write(delivery.content));
  MAIL_CHECK(file.finish());
  out.file_octets = file.file_octets();
  out.wire_octets = file.wire_octets();
  out.hash = file.hash();
  file.taken();
  out.file = file.take_fd();
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
  const auto key = id.empty() ? std::string() : concat({id, "/", folder->directory.path()});
  if (!id.empty() && recent_ids().contains(key)) return {};
  if (!id.empty() && target.repeated) {
    MAIL_TRY(found, find_id(disk, *folder, id, delivery, target));
    // There, but perhaps not durable yet: the one who delivered it may have died before its flush.
    if (found.first) return placed(folder, *found.second, key, std::move(found.first)), Status();
    if (target.placed) return placed(folder, folder->cur, {}), Status();
  }
  MAIL_CHECK(account->check_quota(delivery.content.size() + target.prefix.size(), 1));
  MAIL_TRY(bits, bits_of(*account, target));

  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(context_.clock->now().time_since_epoch()).count();
  const auto name = make_base(context_.settings.host, id, micros);
  auto& same = written[{target.prefix, folder->device}];
  const bool linked = same.directory != nullptr && disk.link(*same.directory, same.name, folder->tmp, name);
  Written mine;
  if (linked)
    mine = {nullptr, {}, same.file_octets, same.wire_octets, same.hash, {}};
  else
    MAIL_CHECK(write_file(delivery, target, *folder, name, mine));
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
  account->add_usage(static_cast<std::int64_t>(mine.file_octets), 1);
  placed(folder, place, key, std::move(mine.file), final_name);
  same = std::move(mine);
  return {};
}

Status Run::flush() {
  if (unflushed_ != nullptr) return {};
  const auto flushed = context_.flusher->flush(set_);
  if (!flushed) earlier_files().forget();
  MAIL_CHECK(flushed);
  for (const auto& key : keys_) recent_ids().add(key);
  return {};
}

namespace {

std::vector<DeliveryOutcome> run(Store& store, std::span<const Delivery> deliveries, Unflushed* unflushed) {
  auto* impl = dynamic_cast<StoreImpl*>(&store);
  Run run(*impl->context(), unflushed);
  std::vector<DeliveryOutcome> out(deliveries.size());
  bool repeated = false;
  for (std::size_t i = 0; i < deliveries.size(); ++i) {
    std::map<std::pair<std::string, dev_t>, Written> written;
    for (const auto& target : deliveries[i].targets) {
      repeated = repeated || target.repeated;
      out[i].targets.push_back(run.place(deliveries[i], target, written));
    }
  }
  const auto flushed = run.flush();
  if (!flushed)
    for (auto& outcome : out)
      for (auto& target : outcome.targets)
        if (target) target = flushed;  // it may be there all the same: the next attempt, with `repeated`, finds it
  if (!repeated) earlier_files().forget();
  return out;
}

}  // namespace

std::vector<DeliveryOutcome> deliver(Store& store, std::span<const Delivery> deliveries) {
  return run(store, deliveries, nullptr);
}

std::vector<DeliveryOutcome> deliver(Store& store, std::span<const Delivery> deliveries, Unflushed& unflushed) {
  return run(store, deliveries, &unflushed);
}

void Unflushed::merge(Unflushed&& other) {
  places_.merge(other.places_);
  keys_.insert(keys_.end(), std::make_move_iterator(other.keys_.begin()), std::make_move_iterator(other.keys_.end()));
  files_.insert(files_.end(), std::make_move_iterator(other.files_.begin()),
                std::make_move_iterator(other.files_.end()));
  other = {};
}

Status flush(Store& store, const Unflushed& unflushed) {
  const auto& context = *dynamic_cast<StoreImpl*>(&store)->context();
  for (const auto& [device, place] : unflushed.places_) {
    if (auto flushed = context.flusher->flush_all(*place); !flushed) {
      for (const auto& file : unflushed.files_) (void)context.disk->unlink(*file.directory, file.name);
      earlier_files().forget();
      return flushed;
    }
  }
  for (const auto& key : unflushed.keys_) recent_ids().add(key);
  return {};
}

}  // namespace mail::store
