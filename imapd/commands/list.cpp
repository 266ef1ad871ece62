// LIST with all of RFC 5258, 5819 (STATUS), 6154 (SPECIAL-USE), 8440 (MYRIGHTS) and 9590 (METADATA), LSUB, NAMESPACE.
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imap/mutf7.h"
#include "imap/response.h"
#include "imapd/commands/acl.h"
#include "imapd/commands/families.h"
#include "imapd/commands/list_metadata.h"
#include "imapd/commands/name_space.h"
#include "imapd/commands/status.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

constexpr std::size_t kMostPatterns = 100;

struct ListRequest {
  bool subscribed = false, remote = false, recursive_match = false, special_use = false;  // selection
  bool return_subscribed = false, return_children = false, return_special_use = false;    // return
  bool extended = false;
  bool return_rights = false;
  std::optional<StatusItems> status;
  std::optional<MetadataRequest> metadata;
  std::string reference;
  std::vector<std::string> patterns;
};

struct OptionRow {
  std::string_view name;
  bool ListRequest::*option;
};
constexpr std::array kSelectionOptions{
    OptionRow{"RECURSIVEMATCH", &ListRequest::recursive_match},
    OptionRow{"REMOTE", &ListRequest::remote},
    OptionRow{"SPECIAL-USE", &ListRequest::special_use},
    OptionRow{"SUBSCRIBED", &ListRequest::subscribed},
};
constexpr std::array kReturnOptions{
    OptionRow{"CHILDREN", &ListRequest::return_children},
    OptionRow{"MYRIGHTS", &ListRequest::return_rights},
    OptionRow{"SPECIAL-USE", &ListRequest::return_special_use},
    OptionRow{"SUBSCRIBED", &ListRequest::return_subscribed},
};

Status take_selection(imap::Arguments& arguments, ListRequest& request) {
  MAIL_TRY(words, arguments.atom_list());
  MAIL_CHECK(arguments.space());
  request.extended = true;
  for (const auto& word : words) {
    const auto row = std::ranges::find(kSelectionOptions, word, &OptionRow::name);
    if (row == kSelectionOptions.end()) return fail(Error::Kind::syntax, "Unknown selection option");
    request.*(row->option) = true;
  }
  if (request.recursive_match && !request.subscribed && !request.special_use)
    return fail(Error::Kind::syntax, "RECURSIVEMATCH needs another option");
  return {};
}

Status take_return(imap::Arguments& arguments, ListRequest& request) {
  MAIL_CHECK(arguments.open());
  request.extended = true;
  if (arguments.take(')')) return {};
  do {
    MAIL_TRY(word, arguments.atom());
    if (iequals(word, "STATUS")) {
      MAIL_CHECK(arguments.space());
      MAIL_TRY(items, take_status_items(arguments));
      request.status = std::move(items);
      continue;
    }
    if (iequals(word, "METADATA")) {  // RFC 9590 section 3
      MAIL_CHECK(arguments.space());
      MAIL_TRY(asked, take_list_metadata(arguments));
      request.metadata = std::move(asked);
      continue;
    }
    const auto row = std::ranges::find_if(kReturnOptions, [&](const OptionRow& r) { return iequals(r.name, word); });
    if (row == kReturnOptions.end()) return imap::unknown("RETURN option", word);
    request.*(row->option) = true;
  } while (arguments.take(' '));
  return arguments.close();
}

Result<ListRequest> take_list(Session& session, imap::Arguments& arguments) {
  ListRequest request;
  if (arguments.peek() == '(') MAIL_CHECK(take_selection(arguments, request));
  MAIL_TRY(reference, arguments.astring());
  MAIL_CHECK(arguments.space());
  request.reference = std::move(reference);
  const auto pattern = [&](std::string text) -> Status {
    auto name = imap::mailbox_name_from_wire(request.reference + text, session.utf8());
    // What is no name matches nothing; refusing it would break clients that try.
    if (request.patterns.size() == kMostPatterns) return fail(Error::Kind::syntax, "Too many patterns");
    request.patterns.push_back(name ? std::move(*name) : std::string(1, '\0'));
    return {};
  };
  if (arguments.take('(')) {
    request.extended = true;
    do {
      MAIL_TRY(text, arguments.list_mailbox());
      MAIL_CHECK(pattern(std::move(text)));
    } while (arguments.take(' '));
    MAIL_CHECK(arguments.close());
  } else {
    MAIL_TRY(text, arguments.list_mailbox());
    if (text.empty()) {
      request.patterns.clear();
    } else {
      MAIL_CHECK(pattern(std::move(text)));
    }
  }
  if (arguments.take(' ')) {
    if (!arguments.take_word("RETURN ")) return fail(Error::Kind::syntax, "RETURN expected");
    MAIL_CHECK(take_return(arguments, request));
  }
  MAIL_CHECK(arguments.end());
  return request;
}

void send_entry(Session& session, std::string_view command, const std::vector<std::string>& attributes,
                std::string_view name) {
  auto& out = session.out();
  out += "* ";
  out += command;
  out += ' ';
  imap::append_list(out, attributes);
  out += " \"";
  out += session.environment().store->settings().separator;
  out += "\" ";
  session.append_mailbox(name);
}

std::vector<std::string> attributes_of(const store::MailboxEntry& entry, const ListRequest& request) {
  std::vector<std::string> attributes;
  if (!entry.exists) attributes.emplace_back(request.extended ? "\\NonExistent" : "\\Noselect");
  if (entry.subscribed && (request.subscribed || request.return_subscribed)) attributes.emplace_back("\\Subscribed");
  attributes.emplace_back(entry.has_children ? "\\HasChildren" : "\\HasNoChildren");
  if (entry.marked) attributes.emplace_back("\\Marked");
  // Told always: RFC 6154 section 2 allows it, and clients without LIST-EXTENDED find their Sent folder by it.
  if (!entry.special_use.empty()) attributes.push_back(entry.special_use);
  return attributes;
}

bool selected_by(const store::MailboxEntry& entry, const ListRequest& request) {
  if (request.subscribed && !entry.subscribed) return false;
  if (request.special_use && entry.special_use.empty()) return false;
  // Without a selection, names that are only subscribed are not there.
  return request.subscribed || entry.exists || entry.has_children;
}

/// LIST's answers one mailbox after the other: an account may have 200,000.
class Listing : public Work {
 public:
  Listing(ListRequest request, std::vector<store::MailboxEntry> entries, std::string command)
      : request_(std::move(request)), entries_(std::move(entries)), command_(std::move(command)) {}

  Completion step(Session& session) override {
    const char separator = session.environment().store->settings().separator;
    for (; next_ < entries_.size(); ++next_) {
      if (session.out().size() > Session::kPiece) return more();
      const bool asks = request_.status || request_.metadata || request_.return_rights;
      if (asks && !session.may_block()) return on_worker();
      tell(session, entries_[next_], separator);
    }
    return ok(command_ + " completed");
  }

 private:
  bool matches(std::string_view name, char separator) const {
    return std::ranges::any_of(request_.patterns, [&](const std::string& pattern) {
      return imap::list_pattern_matches(pattern, name, separator);
    });
  }

  void tell(Session& session, const store::MailboxEntry& entry, char separator) {
    const bool selected = selected_by(entry, request_);
    const bool child_info = request_.recursive_match && has_selected_child(entry, separator);
    if ((!selected && !child_info) || !matches(entry.name, separator)) return;
    if (command_ == "LSUB" && !selected) return;
    auto attributes = attributes_of(entry, request_);
    if (request_.recursive_match && !selected) std::erase(attributes, "\\Subscribed");
    send_entry(session, command_, attributes, entry.name);
    if (child_info)
      session.out() += request_.subscribed ? " (CHILDINFO (\"SUBSCRIBED\"))" : " (CHILDINFO (\"SPECIAL-USE\"))";
    session.out() += "\r\n";
    if (!entry.exists) return;
    if (request_.status) send_status(session, entry.name, *request_.status);
    if (request_.return_rights) send_my_rights(session, entry.name);
    if (request_.metadata) send_list_metadata(session, entry.name, *request_.metadata);
  }

  /// RECURSIVEMATCH: a child that is selected but that the pattern itself does not match.
  bool has_selected_child(const store::MailboxEntry& entry, char separator) const {
    if (!entry.has_children) return false;
    const std::string prefix = entry.name + separator;
    return std::ranges::any_of(entries_, [&](const store::MailboxEntry& child) {
      return child.name.starts_with(prefix) && selected_by(child, request_) && !matches(child.name, separator);
    });
  }

  ListRequest request_;
  std::vector<store::MailboxEntry> entries_;
  std::string command_;
  std::size_t next_ = 0;
};

/// The user's own, and what others share with him; subscriptions of both are in his own list.
Result<std::vector<store::MailboxEntry>> all_mailboxes(Session& session) {
  MAIL_TRY(entries, session.account().list());
  for (auto& other : foreign_mailboxes(session)) {
    const auto own = std::ranges::find(entries, other.name, &store::MailboxEntry::name);
    if (own == entries.end()) {
      entries.push_back(std::move(other));
      continue;
    }
    if (own->exists && !other.exists) {  // a mailbox of the user's own that is called as the others' common part
      own->has_children = true;
      continue;
    }
    other.subscribed = own->subscribed;
    *own = std::move(other);
  }
  return std::move(entries);
}

Completion list(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(request, take_list(session, arguments));
  if (request.patterns.empty()) {  // `LIST "" ""`: the separator and the root of the reference
    session.out() += "* LIST (\\Noselect) \"";
    session.out() += session.environment().store->settings().separator;
    session.out() += "\" \"\"\r\n";
    return ok("LIST completed");
  }
  auto entries = all_mailboxes(session);
  if (!entries) return failed(entries.error(), "Mailboxes cannot be listed");
  return session.start(std::make_unique<Listing>(std::move(request), std::move(*entries), "LIST"));
}

/// LSUB (RFC 3501 section 6.3.9): `%` also shows parents of subscribed names, as \Noselect.
Completion lsub(Session& session, imap::Arguments& arguments) {
  ListRequest request;
  IMAPD_TRY(reference, arguments.astring());
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(text, arguments.list_mailbox());
  IMAPD_CHECK(arguments.end());
  auto pattern = imap::mailbox_name_from_wire(reference + text, session.utf8());
  if (!pattern || text.empty()) {
    if (text.empty())
      session.untagged("LSUB (\\Noselect) \"" + std::string(1, session.environment().store->settings().separator) +
                       "\" \"\"");
    return ok("LSUB completed");
  }
  auto entries = all_mailboxes(session);
  if (!entries) return failed(entries.error(), "Mailboxes cannot be listed");
  const char separator = session.environment().store->settings().separator;
  std::vector<std::string> told;
  for (const auto& entry : *entries) {
    if (!entry.subscribed) continue;
    if (imap::list_pattern_matches(*pattern, entry.name, separator)) {
      send_entry(session, "LSUB", entry.exists ? std::vector<std::string>{} : std::vector<std::string>{"\\Noselect"},
                 entry.name);
      session.out() += "\r\n";
      told.push_back(entry.name);
      continue;
    }
    if (!pattern->ends_with('%')) continue;
    for (auto at = entry.name.rfind(separator); at != std::string::npos && at > 0;
         at = entry.name.rfind(separator, at - 1)) {
      const std::string parent = entry.name.substr(0, at);
      if (!imap::list_pattern_matches(*pattern, parent, separator)) continue;
      const auto known = std::ranges::find(*entries, parent, &store::MailboxEntry::name);
      if (std::ranges::find(told, parent) != told.end() || (known != entries->end() && known->subscribed)) break;
      send_entry(session, "LSUB", {"\\Noselect"}, parent);
      session.out() += "\r\n";
      told.push_back(parent);
      break;
    }
  }
  return ok("LSUB completed");
}

/// NAMESPACE (RFC 2342)
Completion name_space(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  send_namespace(session);
  return ok("NAMESPACE completed");
}

constexpr std::array kListCommands{
    Command{.name = "LIST", .run = list, .disk = true},
    Command{.name = "LSUB", .run = lsub, .disk = true},
    Command{.name = "NAMESPACE", .run = name_space, .capability = "NAMESPACE"},
    Command{.name = "STATUS", .run = status},
};

}  // namespace

/// The personal one, INBOX among its names, and other users' mailboxes.
void send_namespace(Session& session) {
  const std::string separator(1, session.environment().store->settings().separator);
  std::string others = "NIL";
  if (const auto& prefix = session.environment().settings.imap.other_users; !prefix.empty()) {
    others = "((";
    imap::append_string(others, prefix + separator, session.utf8());
    others += " \"" + separator + "\"";
    if (session.language() == Language::fr) {
      others += " \"TRANSLATION\" (";
      imap::append_string(others, "Autres utilisateurs" + separator, session.utf8());
      others += ')';
    }
    others += "))";
  }
  session.untagged(concat({"NAMESPACE ((\"\" \"", separator, "\")) ", others, " NIL"}));
}

std::span<const Command> list_commands() { return kListCommands; }

}  // namespace mail::imapd
