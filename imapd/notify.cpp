#include "imapd/notify.h"

#include <algorithm>
#include <array>
#include <functional>

#include "base/log.h"
#include "base/strings.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

using Kind = imap::MailboxFilter::Kind;
using Change = store::AccountChange::Kind;

thread_local const Session* acting_session = nullptr;

bool is_selected(Kind kind) { return kind == Kind::selected || kind == Kind::selected_delayed; }

std::string_view parent_of(std::string_view mailbox, char separator) {
  const auto at = mailbox.rfind(separator);
  return at == std::string_view::npos ? std::string_view() : mailbox.substr(0, at);
}

}  // namespace

Notify::Acting::Acting(const Session& session) : before_(std::exchange(acting_session, &session)) {}
Notify::Acting::~Acting() { acting_session = before_; }

/// Tells one event after the other.
class NotifyNews final : public Work {
 public:
  NotifyNews(Notify& notify, Session& session) : notify_(notify), session_(session) {}

  Completion step(Session&) override {
    if (!session_.may_block()) return on_worker();
    if (!taken_) take();
    if (lost_) {
      notify_.overflow();
      return ok({});
    }
    for (; next_ < changes_.size(); ++next_) {
      if (session_.out().size() > Session::kPiece) return more();
      notify_.tell(changes_[next_]);
    }
    if (names_changed_)
      if (auto watched = notify_.watch(); !watched) notify_.overflow();
    return ok({});
  }

 private:
  void take() {
    taken_ = true;
    std::lock_guard lock(notify_.pending_->mutex);
    changes_.swap(notify_.pending_->others);
    names_changed_ = std::ranges::any_of(
        changes_, [](const auto& c) { return c.kind != Change::metadata && c.kind != Change::rights; });
    for (const auto& mailbox : notify_.pending_->messages) changes_.push_back({Change::messages, mailbox});
    notify_.pending_->messages.clear();
    lost_ = notify_.pending_->lost;
  }

  Notify& notify_;
  Session& session_;
  bool taken_ = false, lost_ = false, names_changed_ = false;
  std::vector<store::AccountChange> changes_;
  std::size_t next_ = 0;
};

Notify::~Notify() = default;

tl::expected<std::unique_ptr<Notify>, Completion> Notify::start(Session& session, imap::NotifyArguments arguments) {
  std::unique_ptr<Notify> notify(new Notify(session));
  for (auto& given : arguments.groups) {
    if (is_selected(given.filter.kind)) {
      auto wanted = look_up(std::move(given.attributes));
      if (!wanted) return tl::unexpected(rejected(std::move(wanted).error()));
      notify->selected_ = {.messages = (given.events & imap::kMessageNew) != 0,
                           .flags = (given.events & imap::kFlagChange) != 0,
                           .delayed = given.filter.kind == Kind::selected_delayed,
                           .wanted = std::move(*wanted)};
      continue;
    }
    Group group{given.filter.kind, {}, given.events};
    for (const auto& name : given.filter.names)  // What cannot be a mailbox is as one that does not exist: ignored.
      if (auto mailbox = session.mailbox_from_wire(name)) group.names.push_back(std::move(*mailbox));
    std::ranges::sort(group.names);
    notify->groups_.push_back(std::move(group));
  }
  if (notify->groups_.empty()) return notify;
  notify->sources_.push_back({{}, session.shared_account()});
  notify->sources_.front().listener = notify->listen(notify->sources_.front());
  notify->server_listener_ = notify->listen_to_server();
  if (auto watched = notify->watch(); !watched) {
    if (watched.error().kind != Error::Kind::refused && watched.error().system != ENOSPC)
      return tl::unexpected(failed(watched.error(), "Mailboxes cannot be watched"));
    log_event(LogLevel::warning, "notify_refused", {{"user", session.user()}, {"error", watched.error().text}});
    return tl::unexpected(no("[NOTIFICATIONOVERFLOW] Too many mailboxes; name fewer"));
  }
  return notify;
}

std::shared_ptr<void> Notify::listen(const Source& source) {
  unsigned wanted = 0;
  for (const auto& group : groups_) wanted |= group.events;
  return source.account->on_change([pending = pending_, wanted, session = &session_, owner = source.owner,
                                    environment = &session_.environment(),
                                    wake = session_.wake_function()](const store::AccountChange& change) {
    const unsigned event = change.kind == Change::messages ? imap::kMessageEvents
                           : change.kind == Change::metadata
                               ? imap::kMailboxMetadataChange | imap::kServerMetadataChange
                               : 0xffU;
    // Which change of messages is whose cannot be told apart here; names and notes are changed by the session itself.
    if ((wanted & event) == 0 || (change.kind != Change::messages && acting_session == session)) return;
    auto told = change;
    if (!owner.empty()) {
      if (change.kind == Change::subscription || change.mailbox.empty()) return;  // these are the owner's alone
      told.mailbox = name_for_others(*environment, owner, change.mailbox);
      if (!change.old_name.empty()) told.old_name = name_for_others(*environment, owner, change.old_name);
    }
    pending->add(std::move(told));
    wake();
  });
}

/// What administrators change of the server's METADATA, in sessions of this process.
std::shared_ptr<void> Notify::listen_to_server() {
  const auto wants = [](const Group& group) { return (group.events & imap::kServerMetadataChange) != 0; };
  if (std::ranges::none_of(groups_, wants)) return nullptr;
  return session_.environment().notes->on_change(
      [pending = pending_, session = &session_, wake = session_.wake_function()](const std::string& entry) {
        if (acting_session == session) return;
        pending->add({Change::metadata, {}, {}, entry});
        wake();
      });
}

void Notify::Pending::add(store::AccountChange change) {
  std::lock_guard lock(mutex);
  if (messages.size() + others.size() >= kMostPending)
    lost = true;
  else if (change.kind == Change::messages)
    messages.insert(std::move(change.mailbox));
  else
    others.push_back(std::move(change));
}

void Notify::look_up_subscriptions() {
  subscribed_.clear();
  if (std::ranges::none_of(groups_, [](const Group& group) { return group.kind == Kind::subscribed; })) return;
  if (const auto entries = session_.account().list())
    for (const auto& entry : *entries)
      if (entry.subscribed) subscribed_.insert(entry.name);
}

/// Other users whose mailboxes are named.
void Notify::find_sources() {
  const auto find = [&](const std::string& name) {
    if (!foreign_name(session_.environment(), name)) return;
    auto place = find_place(session_, name);
    if (!place || !*place || !(*place)->foreign()) return;
    if (std::ranges::find(sources_, (*place)->account, &Source::account) != sources_.end()) return;
    sources_.push_back({(*place)->owner, (*place)->account});
    sources_.back().listener = listen(sources_.back());
  };
  for (const auto& group : groups_)
    for (const auto& name : group.names) find(name);
  for (const auto& name : subscribed_) find(name);
}

std::string Notify::told_name(const Source& source, const std::string& mailbox) const {
  return source.owner.empty() ? mailbox : name_for_others(session_.environment(), source.owner, mailbox);
}

/// The mailboxes of the account that something may be told of which only a look into them shows, as the account knows
/// them. Of others' mailboxes that is everything, as the rights may change.
Result<std::vector<std::string>> Notify::watched_names(const Source& source) {
  const unsigned inside = source.owner.empty() ? imap::kMessageEvents | imap::kMailboxMetadataChange : 0xffU;
  MAIL_TRY(entries, source.account->list());
  std::vector<std::string> names;
  for (const auto& entry : entries)
    if (entry.exists && (events_of(told_name(source, entry.name)) & inside) != 0) names.push_back(entry.name);
  return names;
}

/// What is known of it already stays: a change is told of by tell_rights().
void Notify::look_up_access(const Source& source, const std::string& mailbox) {
  auto name = told_name(source, mailbox);
  if (access_.contains(name)) return;
  Place place{.account = source.account, .name = mailbox, .owner = source.owner, .rights = {}};
  if (find_rights(session_, place)) access_[std::move(name)].seen = store::has_right(place.rights, 'l');
}

Status Notify::watch() {
  look_up_subscriptions();
  find_sources();
  std::size_t all = 0;
  for (auto& source : sources_) {
    MAIL_TRY(names, watched_names(source));
    all += names.size();
    if (all > kMostMailboxes) return fail(Error::Kind::refused, "too many mailboxes to watch");
    if (!source.owner.empty())
      for (const auto& name : names) look_up_access(source, name);
    MAIL_TRY(token, source.account->watch(names));
    source.watch = std::move(token);  // the old one goes after the new one is there: what both watch stays watched
  }
  return {};
}

bool Notify::matches(const Group& group, std::string_view mailbox) const {
  switch (group.kind) {
    case Kind::inboxes:  // Sieve may deliver anywhere
    case Kind::personal:
      return !foreign_name(session_.environment(), mailbox);
    case Kind::subscribed:
      return subscribed_.contains(mailbox);
    case Kind::mailboxes:
      return std::ranges::binary_search(group.names, mailbox, std::less<std::string_view>());
    case Kind::subtree: {
      const char separator = session_.environment().store->settings().separator;
      return std::ranges::any_of(group.names, [&](const std::string& name) {
        return mailbox.starts_with(name) && (mailbox.size() == name.size() || mailbox[name.size()] == separator);
      });
    }
    case Kind::selected:
    case Kind::selected_delayed:
    case Kind::subtree_one:
      break;
  }
  return false;
}

unsigned Notify::events_of(std::string_view mailbox) const {
  unsigned events = 0;
  for (const auto& group : groups_)
    if ((events | group.events) != events && matches(group, mailbox)) events |= group.events;
  return events;
}

bool Notify::has_news() const {
  std::lock_guard lock(pending_->mutex);
  return pending_->lost || !pending_->messages.empty() || !pending_->others.empty();
}

std::unique_ptr<Work> Notify::news() { return std::make_unique<NotifyNews>(*this, session_); }

void Notify::send_all_status(Session& session) {
  for (const auto& source : sources_) {
    const auto names = watched_names(source);
    if (!names) continue;
    for (const auto& name : *names) {
      const auto told = told_name(source, name);
      if (!session.selected() || session.selected_name() != told) tell_status(told, true);
    }
  }
}

/// What the client does not know of a mailbox yet, as far as it wants to; `all`: at the start, whatever it knows.
void Notify::tell_status(const std::string& mailbox, bool all) {
  const auto events = events_of(mailbox);
  if ((events & imap::kMessageEvents) == 0) return;
  Place place;
  if (resolve(session_, mailbox, "lr", place)) return;
  const auto status = place.account->status(place.name);
  if (!status) return;
  const Told now{store::number(status->highest_modseq), status->messages, store::number(status->uid_next),
                 store::number(status->uid_validity), status->unseen};
  const auto [known, fresh] = told_.try_emplace(std::hash<std::string>{}(mailbox));
  const Told before = std::exchange(known->second, now);
  const bool flags = (events & (imap::kFlagChange | imap::kAnnotationChange)) != 0;
  const bool condstore = session_.enabled().condstore || session_.enabled().qresync;
  const bool validity = all || now.uid_validity != before.uid_validity;
  const bool content = all || fresh || now.messages != before.messages || now.uid_next != before.uid_next;
  const bool changed = fresh || now.modseq != before.modseq;
  std::vector<std::pair<std::string_view, std::uint64_t>> items;
  if (content) items.insert(items.end(), {{"MESSAGES", now.messages}, {"UIDNEXT", now.uid_next}});
  if (flags && now.unseen != before.unseen) items.emplace_back("UNSEEN", now.unseen);
  if (all || (changed && condstore && (flags || content))) items.emplace_back("HIGHESTMODSEQ", now.modseq);
  if (all || (validity && flags) || (flags && changed && !items.empty()))
    items.emplace_back("UIDVALIDITY", now.uid_validity);
  if (items.empty()) return;
  auto& out = session_.out();
  out += "* STATUS ";
  session_.append_mailbox(mailbox);
  out += " (";
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ' ';
    out += items[i].first;
    out += ' ';
    append_decimal(out, items[i].second);
  }
  out += ")\r\n";
}

/// LIST of one name, as it is now (sections 5.4 and 5.5).
void Notify::tell_name(const std::string& mailbox, std::string_view old_name) {
  Place place;
  if (resolve(session_, mailbox, "l", place)) return;
  const auto entries = place.account->list();
  if (!entries) return;
  const auto found = std::ranges::find(*entries, place.name, &store::MailboxEntry::name);
  const bool exists = found != entries->end() && found->exists;
  std::vector<std::string> attributes;
  if (!exists) attributes.emplace_back("\\NonExistent");
  if (found != entries->end() && !place.foreign()) {  // subscriptions and uses are its owner's
    if (found->subscribed) attributes.emplace_back("\\Subscribed");
    attributes.emplace_back(found->has_children ? "\\HasChildren" : "\\HasNoChildren");
    if (!found->special_use.empty()) attributes.push_back(found->special_use);
  }
  auto& out = session_.out();
  append_list(join(attributes, " "), mailbox);
  if (!old_name.empty()) {
    out += " (\"OLDNAME\" (";
    session_.append_mailbox(old_name);
    out += "))";
  }
  out += "\r\n";
}

void Notify::tell(const store::AccountChange& change) {
  const auto& mailbox = change.mailbox;
  const auto wants = [&](std::string_view name, unsigned event) { return (events_of(name) & event) != 0; };
  switch (change.kind) {
    case Change::messages:
      // Of the selected mailbox SELECTED alone tells (section 6.1).
      if (!session_.selected() || session_.selected_name() != mailbox) tell_status(mailbox, false);
      return;
    case Change::created:
    case Change::removed: {
      if (wants(mailbox, imap::kMailboxName)) tell_name(mailbox, {});
      // The parent is affected too.
      const std::string parent(parent_of(mailbox, session_.environment().store->settings().separator));
      if (!parent.empty() && wants(parent, imap::kMailboxName)) tell_name(parent, {});
      return;
    }
    case Change::renamed:
      if (wants(mailbox, imap::kMailboxName) || wants(change.old_name, imap::kMailboxName))
        tell_name(mailbox, change.old_name);
      return;
    case Change::subscription: {
      const bool wanted_before = wants(mailbox, imap::kSubscriptionChange);
      look_up_subscriptions();  // SUBSCRIBED is about other mailboxes now
      if (wanted_before || wants(mailbox, imap::kSubscriptionChange)) tell_name(mailbox, {});
      return;
    }
    case Change::metadata:
      return tell_note(mailbox, change.entry);
    case Change::rights:
      return tell_rights(mailbox);
  }
}

/// Section 5.9: the mailbox is seen no longer, or again. All else asks for the rights each time.
void Notify::tell_rights(const std::string& mailbox) {
  const auto events = events_of(mailbox);
  if (events == 0) return;
  const auto place = find_place(session_, mailbox);
  if (!place || !*place) return;  // gone meanwhile, or nothing is known now
  const bool seen = store::has_right((*place)->rights, 'l');
  auto& known = access_.try_emplace(mailbox, Access{.seen = !(*place)->foreign(), .refused = false}).first->second;
  if (known.seen == seen) return;
  known.seen = seen;
  told_.erase(std::hash<std::string>{}(mailbox));
  if (!seen) {
    append_list("\\NoAccess", mailbox);
    session_.out() += "\r\n";
  } else if (known.refused || (events & imap::kMailboxName) != 0) {
    tell_name(mailbox, {});
  }
  known.refused = !seen;
}

/// `* LIST (\Attribute) "/" name`
void Notify::append_list(std::string_view attributes, const std::string& mailbox) {
  session_.out() += concat({"* LIST (", attributes, ") \"",
                            std::string_view(&session_.environment().store->settings().separator, 1), "\" "});
  session_.append_mailbox(mailbox);
}

/// METADATA of one entry, by its name alone (sections 5.6 and 5.7).
void Notify::tell_note(const std::string& mailbox, const std::string& entry) {
  auto& out = session_.out();
  if (mailbox.empty()) {
    const auto wants = [](const Group& group) { return (group.events & imap::kServerMetadataChange) != 0; };
    if (std::ranges::none_of(groups_, wants)) return;
    out += "* METADATA \"\"";
  } else {
    Place place;
    if ((events_of(mailbox) & imap::kMailboxMetadataChange) == 0 || resolve(session_, mailbox, "lr", place)) return;
    if (place.foreign() && entry.starts_with("/private/")) return;
    out += "* METADATA ";
    session_.append_mailbox(mailbox);
  }
  out += concat({" ", entry, "\r\n"});
}

/// Section 5.8: from now on as after NOTIFY NONE.
void Notify::overflow() {
  session_.untagged("OK [NOTIFICATIONOVERFLOW] Too much happens; ask again for less");
  sources_.clear();
  server_listener_.reset();
  groups_.clear();
  selected_ = {};
  told_.clear();
  access_.clear();
  std::lock_guard lock(pending_->mutex);
  pending_->messages.clear();
  pending_->others.clear();
  pending_->lost = false;
}

}  // namespace mail::imapd
