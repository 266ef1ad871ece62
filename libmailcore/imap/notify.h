// NOTIFY's arguments (RFC 5465 section 8), and the sets of mailboxes that ESEARCH's IN names too (RFC 7377).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "imap/arguments.h"
#include "imap/section.h"

namespace mail::imap {

/// filter-mailboxes
struct MailboxFilter {
  enum class Kind : std::uint8_t {
    selected,
    selected_delayed,
    inboxes,
    personal,
    subscribed,
    subtree,
    subtree_one,  ///< RFC 7377 only.
    mailboxes,
  } kind = Kind::selected;
  std::vector<std::string> names;  ///< As on the wire.
  bool operator==(const MailboxFilter&) const = default;
};
inline constexpr std::size_t kMostFilterNames = 10'000;

/// Events, to be added up.
enum NotifyEvent : unsigned {
  kMessageNew = 1,
  kMessageExpunge = 2,
  kFlagChange = 4,
  kAnnotationChange = 8,
  kMailboxName = 16,
  kSubscriptionChange = 32,
  kMailboxMetadataChange = 64,
  kServerMetadataChange = 128,
};
inline constexpr unsigned kMessageEvents = kMessageNew | kMessageExpunge | kFlagChange | kAnnotationChange;
/// All names, with blanks between, as BADEVENT lists them.
inline constexpr std::string_view kNotifyEventNames =
    "MessageNew MessageExpunge FlagChange AnnotationChange MailboxName SubscriptionChange MailboxMetadataChange "
    "ServerMetadataChange";

struct EventGroup {
  MailboxFilter filter;
  unsigned events = 0;                     ///< 0: NONE.
  std::vector<FetchAttribute> attributes;  ///< Of MessageNew.
  bool operator==(const EventGroup&) const = default;
};
inline constexpr std::size_t kMostEventGroups = 100;

struct NotifyArguments {
  bool status = false;
  std::vector<EventGroup> groups;  ///< Empty: NONE.
};

/// `selected`, `subtree (a b)` …
Result<MailboxFilter> take_mailbox_filter(Arguments& arguments);
/// All that follows NOTIFY. refused: an event that is not known (BADEVENT); syntax: anything else, combinations that
/// section 5 forbids included.
Result<NotifyArguments> take_notify(Arguments& arguments);

}  // namespace mail::imap
