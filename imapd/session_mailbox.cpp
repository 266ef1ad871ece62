// What a session says of its selected mailbox, and how it understands names and sets.
#include <algorithm>

#include "base/strings.h"
#include "imap/mutf7.h"
#include "imap/response.h"
#include "imapd/flags.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"

namespace mail::imapd {

void Session::append_mailbox(std::string_view name) { imap::append_mailbox(out_, name, utf8()); }

Result<std::string> Session::mailbox_argument(imap::Arguments& arguments) {
  MAIL_TRY(text, arguments.astring());
  return mailbox_from_wire(text);
}

Result<std::string> Session::mailbox_from_wire(const std::string& text) const {
  return plain_mailbox_name(imap::mailbox_name_from_wire(text, utf8()));
}

Result<std::string> Session::mailbox_from_utf8(const std::string& text) const {
  return plain_mailbox_name(imap::mailbox_name_from_wire(text, true));
}

Result<std::string> Session::plain_mailbox_name(std::optional<std::string> name) const {
  if (!name) return fail(Error::Kind::refused, "Mailbox name is not valid");
  const char separator = environment_.store->settings().separator;
  if (istarts_with(*name, "INBOX") && (name->size() == 5 || (*name)[5] == separator)) name->replace(0, 5, "INBOX");
  return std::move(*name);
}

Result<store::UidSet> Session::messages_of(const imap::SequenceSet& set, bool uids, bool lenient) {
  return messages_in(*view_, saved_result_, set, uids, lenient);
}

Result<store::UidSet> Session::messages_in(const store::View& view, const store::UidSet& saved,
                                           const imap::SequenceSet& set, bool uids, bool lenient) {
  if (set.saved()) return view.existing(saved);
  store::UidSet result;
  if (uids) {
    const auto numbers = set.resolve(store::number(view.last_uid()));
    std::vector<store::UidRange> ranges;
    ranges.reserve(numbers.ranges().size());
    for (const auto& range : numbers.ranges()) ranges.push_back({store::Uid{range.first}, store::Uid{range.last}});
    return view.existing(store::UidSet(std::move(ranges)));
  }
  const auto numbers = set.resolve(view.exists());
  if (lenient) {
    for (const auto& range : numbers.ranges()) {
      if (range.first > view.exists()) break;
      const auto part =
          view.uids_of(store::SequenceNumber{range.first}, store::SequenceNumber{std::min(range.last, view.exists())});
      for (const auto& uid_range : part.ranges()) result.add(uid_range.first, uid_range.last);
    }
    return result;
  }
  if (numbers.highest() > view.exists() || (numbers.empty() && view.exists() == 0 && !set.has_star()))
    return fail(Error::Kind::syntax, "No such message");
  if (numbers.empty()) return fail(Error::Kind::syntax, "No messages");
  for (const auto& range : numbers.ranges()) {
    const auto part = view.uids_of(store::SequenceNumber{range.first}, store::SequenceNumber{range.last});
    for (const auto& uid_range : part.ranges()) result.add(uid_range.first, uid_range.last);
  }
  return result;
}

std::vector<std::string> Session::groups() const {
  std::vector<std::string> groups;
  for (const auto& [field, value] : user_.extra)
    if (field == "acl_groups")
      for (const auto group : split(value, ',')) groups.emplace_back(group);
  return groups;
}

const store::Rights& Session::selected_rights() {
  if (const auto place = find_rights(*this, place_); !place) place_.rights = store::Rights(store::kOwnerRights);
  return place_.rights;
}

void Session::refresh_keywords() { keywords_ = view_ ? view_->keywords() : std::vector<std::string>{}; }

void Session::send_flags(bool permanent) {
  const auto flags_by = [&](std::string_view rights) {
    const auto may = [&](char right, std::string_view flag) {
      return store::has_right(rights, right) ? flag : std::string_view();
    };
    auto names = concat({may('w', " \\Answered"), may('w', " \\Flagged"), may('t', " \\Deleted"), may('s', " \\Seen"),
                         may('w', " \\Draft")});
    if (store::has_right(rights, 'w')) {
      if (std::ranges::find(keywords_, "$Forwarded") == keywords_.end()) names += " $Forwarded";
      for (const auto& keyword : keywords_) names += " " + keyword;
    }
    return names.empty() ? names : names.substr(1);
  };
  auto names = flags_by(store::kAllRights);
  untagged("FLAGS (" + names + ")");
  if (!permanent) return;
  if (view_->read_only()) return untagged("OK [PERMANENTFLAGS ()] Read-only mailbox");
  names = flags_by(place_.rights);  // RFC 4314 section 5.1.1
  const bool more = view_->may_add_keywords() && store::has_right(place_.rights, 'w');
  untagged("OK [PERMANENTFLAGS (" + names + (more ? " \\*" : "") + ")] Flags kept");
}

void Session::send_flags_of(store::Uid uid, bool with_flags, bool always_uid) {
  const auto sequence = view_->sequence(uid);
  const auto row = view_->row(uid);
  if (sequence && row) send_flags_of(*sequence, *row, with_flags, always_uid);
}

void Session::send_flags_of(store::SequenceNumber number, const store::MessageRow& row, bool with_flags,
                            bool always_uid) {
  const auto uid = row.uid;
  out_ += "* ";
  append_decimal(out_, enabled_.uid_only ? store::number(uid) : store::number(number));
  out_ += enabled_.uid_only ? " UIDFETCH (" : " FETCH (";
  bool first = true;
  const auto blank = [&] {
    if (!std::exchange(first, false)) out_ += ' ';
  };
  if ((always_uid || enabled_.qresync) && !enabled_.uid_only) {
    blank();
    out_ += "UID ";
    append_decimal(out_, store::number(uid));
  }
  if (with_flags) {
    blank();
    out_ += "FLAGS ";
    append_flags(out_, row, keywords_, tells_recent());
  }
  if (enabled_.condstore) {
    blank();
    out_ += "MODSEQ (";
    append_decimal(out_, store::number(row.modseq));
    out_ += ')';
  }
  out_ += ")\r\n";
}

void Session::send_changes(bool expunges) {
  const auto changes = view_->sync(expunges);
  if (changes.empty()) return;
  if (changes.invalid) return shut_down("The mailbox is gone or was replaced");
  contexts_.expunged(*this, changes);
  if (!changes.expunged.empty()) {
    if (enabled_.qresync || enabled_.uid_only) {
      store::UidSet gone;
      std::vector<store::UidRange> ranges;
      for (const auto uid : changes.expunged_uids) ranges.push_back({uid, uid});
      untagged("VANISHED " + store::UidSet(std::move(ranges)).text());
    } else {
      for (const auto number : changes.expunged) {
        out_ += "* ";
        append_decimal(out_, store::number(number));
        out_ += " EXPUNGE\r\n";
      }
    }
  }
  if (changes.exists_changed) {
    out_ += "* ";
    append_decimal(out_, changes.exists);
    out_ += " EXISTS\r\n";
    if (!enabled_.imap4rev2) {
      out_ += "* ";
      append_decimal(out_, changes.recent);
      out_ += " RECENT\r\n";
    }
    if (notify_ && !notify_->selected().wanted.empty()) {
      const auto above =
          view_->existing(store::UidSet({{store::Uid{store::number(told_) + 1}, store::Uid{UINT32_MAX}}}));
      arrived_ = sum(arrived_, difference(above, made_here_));
    }
    made_here_ = {};
    told_ = std::max(told_, view_->last_uid());
  }
  if (changes.keywords_changed) {
    refresh_keywords();
    send_flags(true);
  }
  if (notify_ && !notify_->selected().flags) return;
  for (const auto uid : changes.flags) send_flags_of(uid, true, uid_command_ || notify_ != nullptr);
}

void Session::made_here(std::string_view mailbox, const store::UidSet& uids) {
  if (notify_ && view_ && selected_name_ == mailbox) made_here_ = sum(made_here_, uids);
}

void Session::use_condstore() {
  if (enabled_.condstore) return;
  enabled_.condstore = true;
  // RFC 7162 section 3.1.2.1: a session that has the mailbox selected is told where it stands.
  if (view_) untagged("OK [HIGHESTMODSEQ " + decimal(store::number(view_->highest_modseq())) + "] Highest");
}

}  // namespace mail::imapd
