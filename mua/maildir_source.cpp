// Mail in a Maildir of this host, through the store: its UIDs, flags and index are those that imapd shows.
#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "base/strings.h"
#include "mua/source.h"
#include "store/account.h"
#include "store/mailbox.h"
#include "store/store.h"

namespace mail::mua {

namespace {

struct FlagName {
  std::string_view name;
  store::Flags flag;
};
constexpr std::array kFlagNames{
    FlagName{"seen", store::Flags::seen},       FlagName{"answered", store::Flags::answered},
    FlagName{"flagged", store::Flags::flagged}, FlagName{"deleted", store::Flags::deleted},
    FlagName{"draft", store::Flags::draft},     FlagName{"$Forwarded", store::Flags::forwarded},
};

void split_flags(const std::vector<std::string>& names, store::Flags& flags, std::vector<std::string>& keywords) {
  for (const auto& name : names) {
    const auto* known = std::ranges::find_if(kFlagNames, [&](const FlagName& row) { return iequals(row.name, name); });
    if (known != kFlagNames.end()) {
      flags = flags | known->flag;
    } else {
      keywords.push_back(name);
    }
  }
}

store::UidSet to_set(const std::vector<std::uint32_t>& ids) {
  store::UidSet set;
  for (const auto id : ids) set.add(static_cast<store::Uid>(id));
  return set;
}

class MaildirSource final : public Source {
 public:
  MaildirSource(std::shared_ptr<store::Store> store, std::shared_ptr<store::Account> account)
      : store_(std::move(store)), account_(std::move(account)) {}
  ~MaildirSource() override {
    view_.reset();
    store_->write_pending();
  }
  MaildirSource(const MaildirSource&) = delete;
  MaildirSource& operator=(const MaildirSource&) = delete;

  Result<std::vector<Folder>> folders(bool with_counts) override {
    MAIL_TRY(list, account_->list());
    std::vector<Folder> out;
    for (const auto& entry : list) {
      Folder folder;
      folder.name = entry.name;
      folder.selectable = entry.exists;
      folder.subscribed = entry.subscribed;
      folder.special_use = entry.special_use;
      if (with_counts && entry.exists) {
        MAIL_TRY(status, account_->status(entry.name));
        folder.messages = status.messages;
        folder.unseen = status.unseen;
      }
      out.push_back(std::move(folder));
    }
    return out;
  }

  Status open(const std::string& folder, bool read_only) override {
    MAIL_TRY(view, account_->select(folder, read_only));
    view_ = view;
    return {};
  }

  Result<std::vector<std::uint32_t>> ids() override {
    std::vector<std::uint32_t> out;
    view_->rows(everything(), [&](store::SequenceNumber, const store::MessageRow& row) {
      out.push_back(store::number(row.uid));
      return true;
    });
    return out;
  }

  Result<std::vector<Item>> items(const std::vector<std::uint32_t>& ids) override {
    const auto uids = to_set(ids);
    MAIL_CHECK(view_->complete_summaries(uids));
    MAIL_CHECK(view_->complete_sizes(uids));
    const auto keywords = view_->keywords();
    std::vector<Item> out;
    view_->summaries(uids, [&](store::SequenceNumber, const store::MessageRow& row, const store::Summary& summary) {
      Item item;
      item.id = store::number(row.uid);
      item.octets = row.octets;
      for (const auto& [name, flag] : kFlagNames)
        if (store::has(row.flags, flag)) item.flags.emplace_back(name);
      for (std::size_t i = 0; i < keywords.size() && i < store::kKeywordsMost; ++i)
        if ((row.keywords >> i & 1U) != 0) item.flags.push_back(keywords[i]);
      if (const auto values = imap::parse_values(summary.envelope); values && values->size() == 1)
        (void)fill_from_envelope(item, values->front());
      if (!item.date)
        item.date = message::DateTime{std::chrono::sys_seconds(std::chrono::seconds(row.internal_date)), {}};
      out.push_back(std::move(item));
      return true;
    });
    return out;
  }

  Result<std::string> fetch(std::uint32_t id) override {
    MAIL_TRY(file, view_->open_message(static_cast<store::Uid>(id)));
    return std::string(file->raw());
  }

  Result<std::vector<std::uint32_t>> search(const Query& query) override {
    using Where = store::View::TextQuery::Where;
    auto found = everything();
    const std::pair<Where, const std::vector<std::string>*> keys[] = {{Where::from, &query.from},
                                                                      {Where::to, &query.to},
                                                                      {Where::subject, &query.subject},
                                                                      {Where::body, &query.body},
                                                                      {Where::text, &query.text}};
    for (const auto& [where, needles] : keys)
      for (const auto& needle : *needles) {
        MAIL_TRY(some, view_->search_text({where, {}, needle}, found));
        found = some;
      }
    std::vector<std::uint32_t> candidates;
    view_->rows(found, [&](store::SequenceNumber, const store::MessageRow& row) {
      candidates.push_back(store::number(row.uid));
      return true;
    });
    // Dates, flags and sizes by what a list shows.
    auto rest = query;
    rest.text.clear(), rest.body.clear(), rest.from.clear(), rest.to.clear(), rest.subject.clear();
    MAIL_TRY(list, items(candidates));
    std::vector<std::uint32_t> out;
    for (const auto& item : list)
      if (matches(rest, item, {})) out.push_back(item.id);
    return out;
  }

  Status flag(const std::vector<std::uint32_t>& ids, const std::vector<std::string>& add,
              const std::vector<std::string>& remove) override {
    for (const auto& [names, how] :
         {std::pair{&add, store::FlagChange::How::add}, std::pair{&remove, store::FlagChange::How::remove}}) {
      if (names->empty()) continue;
      store::FlagChange change;
      change.how = how;
      change.uids = to_set(ids);
      split_flags(*names, change.flags, change.keywords);
      MAIL_CHECK(view_->store_flags(change));
    }
    return {};
  }

  Status copy(const std::vector<std::uint32_t>& ids, const std::string& folder) override {
    MAIL_CHECK(view_->copy(to_set(ids), folder));
    return {};
  }
  Status move(const std::vector<std::uint32_t>& ids, const std::string& folder) override {
    MAIL_CHECK(view_->move(to_set(ids), folder));
    return {};
  }
  Status remove(const std::vector<std::uint32_t>& ids) override {
    MAIL_CHECK(flag(ids, {"deleted"}, {}));
    const auto uids = to_set(ids);
    MAIL_CHECK(view_->expunge(&uids));
    return {};
  }
  Status append(const std::string& folder, std::string_view message, const std::vector<std::string>& flags) override {
    store::NewMessage added;
    added.octets = message;
    split_flags(flags, added.flags, added.keywords);
    auto done = account_->append(folder, {&added, 1});
    if (!done && done.error().kind == Error::Kind::not_found) {
      MAIL_CHECK(account_->create(folder));
      done = account_->append(folder, {&added, 1});
    }
    if (!done) return tl::unexpected(done.error());
    return {};
  }

  Status wait_for_change() override {
    std::mutex mutex;
    std::condition_variable changed;
    bool told = false;
    view_->set_notify([&] {
      const std::lock_guard lock(mutex);
      told = true;
      changed.notify_one();
    });
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return told; });
    }
    view_->set_notify({});
    MAIL_CHECK(view_->refresh());
    (void)view_->sync(true);
    return {};
  }

 private:
  static store::UidSet everything() {
    return store::UidSet({{static_cast<store::Uid>(1), static_cast<store::Uid>(UINT32_MAX)}});
  }

  std::shared_ptr<store::Store> store_;
  std::shared_ptr<store::Account> account_;
  std::shared_ptr<store::View> view_;
};

}  // namespace

Result<std::unique_ptr<Source>> open_maildir(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error).lexically_normal();
  // The store would make one: a slip of the keyboard must not.
  if (error || !std::filesystem::is_directory(absolute / "cur", error))
    return fail(Error::Kind::not_found, concat({"there is no Maildir at ", path}));
  MAIL_TRY(store, store::Store::open({}));
  store::AccountLocation location;
  location.user = absolute.string();
  location.maildir = absolute.string();
  MAIL_TRY(account, store->account(location));
  return std::make_unique<MaildirSource>(store, account);
}

}  // namespace mail::mua
