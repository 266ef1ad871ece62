// `mda mailbox import|export|check|repair|reindex`: what an operator or a user does to whole mailboxes. See mda(8).
#pragma once
#include <string>
#include <vector>

#include "config/settings.h"

namespace mail::mda {

struct MailboxCommand {
  enum class Action { none, import_mail, export_mail, check, repair, reindex };
  Action action = Action::none;
  std::string user;                    ///< Empty: whoever runs this.
  std::vector<std::string> mailboxes;  ///< Import, export: at most one. The others: empty is all.
  std::string path;                    ///< Import: from where. Export: to where.
  std::string format;                  ///< mbox, maildir or account; empty: by what is at `path`.
  std::vector<std::string> config_paths;
};

/// Runs it. What is done goes to standard error as a bar where that is a terminal; results go to standard output.
/// SIGINT and SIGTERM end it between two messages; the next run goes on from there.
/// @return an exit code of sysexits.h; 75 where it was ended by a signal, 1 where `check` found something
int run_mailbox_command(const config::Settings& settings, const MailboxCommand& command);

}  // namespace mail::mda
