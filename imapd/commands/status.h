// STATUS: its items are a table; LIST … RETURN (STATUS …) and NOTIFY use the same.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "imap/arguments.h"
#include "imapd/command.h"
#include "store/account.h"

namespace mail::imapd {

struct StatusItem {
  std::string_view name;
  void (*append)(const store::MailboxStatus& status, const Session& session, std::string& out);
  bool enables_condstore = false;
};
using StatusItems = std::vector<const StatusItem*>;

/// `(MESSAGES UNSEEN)`
Result<StatusItems> take_status_items(imap::Arguments& arguments);
/// `* STATUS name (…)`; nothing where the mailbox cannot be looked at. May wait for the disk.
bool send_status(Session& session, std::string_view mailbox, const StatusItems& items);
void append_status(Session& session, std::string_view mailbox, const StatusItems& items,
                   const store::MailboxStatus& status);
Completion status(Session& session, imap::Arguments& arguments);

}  // namespace mail::imapd
