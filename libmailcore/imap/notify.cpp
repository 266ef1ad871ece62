#include "imap/notify.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace mail::imap {
namespace {

using Kind = MailboxFilter::Kind;

auto syntax(const char* text) { return fail(Error::Kind::syntax, text); }

struct FilterRow {
  std::string_view name;
  Kind kind;
  bool takes_names = false;
};
constexpr std::array kFilters{
    FilterRow{"INBOXES", Kind::inboxes},
    FilterRow{"MAILBOXES", Kind::mailboxes, true},
    FilterRow{"PERSONAL", Kind::personal},
    FilterRow{"SELECTED", Kind::selected},
    FilterRow{"SELECTED-DELAYED", Kind::selected_delayed},
    FilterRow{"SUBSCRIBED", Kind::subscribed},
    FilterRow{"SUBTREE", Kind::subtree, true},
    FilterRow{"SUBTREE-ONE", Kind::subtree_one, true},
};

struct EventRow {
  std::string_view name;
  NotifyEvent event;
};
constexpr std::array kEvents{
    EventRow{"ANNOTATIONCHANGE", kAnnotationChange},
    EventRow{"FLAGCHANGE", kFlagChange},
    EventRow{"MAILBOXMETADATACHANGE", kMailboxMetadataChange},
    EventRow{"MAILBOXNAME", kMailboxName},
    EventRow{"MESSAGEEXPUNGE", kMessageExpunge},
    EventRow{"MESSAGENEW", kMessageNew},
    EventRow{"SERVERMETADATACHANGE", kServerMetadataChange},
    EventRow{"SUBSCRIPTIONCHANGE", kSubscriptionChange},
};

/// The events up to the parenthesis that ends them, which stays.
Status take_events(Arguments& arguments, EventGroup& group) {
  do {
    MAIL_TRY(word, arguments.atom());
    const auto name = to_upper(word);
    const auto row = std::ranges::find(kEvents, name, &EventRow::name);
    if (row == kEvents.end()) return fail(Error::Kind::refused, "Unknown event");
    group.events |= row->event;
    if (row->event != kMessageNew || arguments.peek() != ' ' || arguments.cursor().peek(1) != '(') continue;
    MAIL_CHECK(arguments.space());
    MAIL_TRY(attributes, take_fetch_attributes(arguments));
    group.attributes = std::move(attributes);
  } while (arguments.take(' '));
  return {};
}

/// Section 5 and 6.1: what goes together.
Status check(const EventGroup& group) {
  const bool selected = group.filter.kind == Kind::selected || group.filter.kind == Kind::selected_delayed;
  const bool arrivals = (group.events & kMessageNew) != 0, expunges = (group.events & kMessageExpunge) != 0;
  if (arrivals != expunges) return syntax("MessageNew and MessageExpunge go together");
  if ((group.events & (kFlagChange | kAnnotationChange)) != 0 && !arrivals)
    return syntax("FlagChange needs MessageNew and MessageExpunge");
  if (selected && (group.events & ~kMessageEvents) != 0) return syntax("SELECTED takes events of messages only");
  if (!selected && !group.attributes.empty()) return syntax("Only SELECTED takes FETCH attributes");
  return {};
}

Result<EventGroup> take_group(Arguments& arguments) {
  EventGroup group;
  MAIL_CHECK(arguments.open());
  MAIL_TRY(filter, take_mailbox_filter(arguments));
  if (filter.kind == Kind::subtree_one) return syntax("Unknown mailbox specifier");
  group.filter = std::move(filter);
  MAIL_CHECK(arguments.space());
  if (arguments.take('(')) {
    MAIL_CHECK(take_events(arguments, group));
    MAIL_CHECK(arguments.close());
  } else if (!arguments.take_word("NONE")) {
    // The grammar wants parentheses here, the RFC's own examples have none.
    MAIL_CHECK(take_events(arguments, group));
  }
  MAIL_CHECK(arguments.close());
  MAIL_CHECK(check(group));
  return group;
}

}  // namespace

Result<MailboxFilter> take_mailbox_filter(Arguments& arguments) {
  MailboxFilter filter;
  MAIL_TRY(word, arguments.atom());
  const auto name = to_upper(word);
  const auto row = std::ranges::find(kFilters, name, &FilterRow::name);
  if (row == kFilters.end()) return syntax("Unknown mailbox specifier");
  filter.kind = row->kind;
  if (!row->takes_names) return filter;
  MAIL_CHECK(arguments.space());
  const bool many = arguments.take('(');
  do {
    MAIL_TRY(mailbox, arguments.astring());
    if (filter.names.size() == kMostFilterNames) return syntax("Too many mailboxes");
    filter.names.push_back(std::move(mailbox));
  } while (many && arguments.take(' '));
  if (many) MAIL_CHECK(arguments.close());
  return filter;
}

Result<NotifyArguments> take_notify(Arguments& arguments) {
  NotifyArguments notify;
  if (arguments.take_word("NONE")) {
    MAIL_CHECK(arguments.end());
    return notify;
  }
  if (!arguments.take_word("SET ")) return syntax("SET or NONE expected");
  notify.status = arguments.take_word("STATUS ");
  bool selected = false;
  do {
    MAIL_TRY(group, take_group(arguments));
    const auto kind = group.filter.kind;
    if (kind == Kind::selected || kind == Kind::selected_delayed)
      if (std::exchange(selected, true)) return syntax("Only one SELECTED is possible");
    if (notify.groups.size() == kMostEventGroups) return syntax("Too many event groups");
    notify.groups.push_back(std::move(group));
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.end());
  return notify;
}

}  // namespace mail::imap
