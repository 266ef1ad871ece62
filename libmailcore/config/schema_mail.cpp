#include <algorithm>
#include <array>

#include "base/strings.h"
#include "config/schema.h"

namespace mail::config {

namespace {

Complaint check_absolute(std::string_view text, const Settings&) {
  if (text.starts_with('/')) return {};
  return concat({"must be an absolute path, not \"", printable(text), "\""});
}

/// What directory::set_mail_location() takes: a path with %u, %n, %d, %h and %%, "maildir:" or "mbox:" in front.
Complaint check_mail_root(std::string_view text, const Settings&) {
  auto path = text;
  for (const std::string_view format : {"maildir:", "mbox:"})
    if (istarts_with(path, format)) path.remove_prefix(format.size());
  if (!path.starts_with('/') && !path.starts_with("~/") && !path.starts_with("%h"))
    return concat({"must begin with '/', \"~/\" or \"%h\", not be \"", printable(text), "\""});
  for (std::size_t i = path.find('%'); i != std::string_view::npos; i = path.find('%', i + 2)) {
    const auto letter = path.substr(i + 1, 1);
    if (letter.empty() || std::string_view("undh%").find(letter) == std::string_view::npos)
      return concat({"has %", printable(letter), ", where only %u, %n, %d, %h and %% mean something"});
  }
  return {};
}

Complaint check_mechanism(std::string_view text, const Settings&) {
  static constexpr std::array<std::string_view, 6> kKnown{"PLAIN",       "LOGIN",    "SCRAM-SHA-256",
                                                          "SCRAM-SHA-1", "CRAM-MD5", "EXTERNAL"};
  if (std::ranges::any_of(kKnown, [&](std::string_view known) { return iequals(known, text); })) return {};
  if (text.size() > 5 && iequals(text.substr(text.size() - 5), "-PLUS"))
    return concat({"names \"", printable(text), "\": auth.channel_binding = true offers it beside the plain one"});
  return concat(
      {"may hold PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5 and EXTERNAL, not \"", printable(text), "\""});
}

}  // namespace

Rows mail_rows() {
  return {
      row<&Settings::spool, &Spool::directory>("spool.directory", "The spool, see spool(5).", check_absolute),
      row<&Settings::spool, &Spool::journal_segment>("spool.journal_segment", "Size of a segment of the journal."),
      row<&Settings::spool, &Spool::journal_message>("spool.journal_message",
                                                     "Larger messages are synced as files, without the journal."),
      row<&Settings::spool, &Spool::free_octets>("spool.free_octets", "With less free space mail is refused with 452."),
      row<&Settings::spool, &Spool::drop_messages_per_user>("spool.drop_messages_per_user",
                                                            "Messages of one user waiting in drop."),
      row<&Settings::spool, &Spool::drop_octets_per_user>("spool.drop_octets_per_user",
                                                          "Octets of one user waiting in drop."),

      row<&Settings::mail, &Mail::root>(
          "mail.root",
          "The Maildir of a user: %u is user@domain, %n the local part, %d the domain, %h the home directory.",
          check_mail_root),
      row<&Settings::mail, &Mail::index_root>("mail.index_root", "Where the indexes are; empty: beside the Maildirs."),
      row<&Settings::mail, &Mail::quota>("mail.quota",
                                         "Size of a user's mail who has no quota of his own; 0: no limit."),

      row<&Settings::users, &Users::passwd_file>(
          "users.passwd_file", "Users and password hashes, see users(5); empty: none.", nullptr, inspect_file),
      row<&Settings::users, &Users::aliases_file>("users.aliases_file", "Aliases, see aliases(5); empty: none.",
                                                  nullptr, inspect_file),
      row<&Settings::users, &Users::system_users>("users.system_users", "Whether the system's accounts are users."),
      row<&Settings::users, &Users::checkpassword>("users.checkpassword",
                                                   "A checkpassword program and its arguments; empty: none."),
      row<&Settings::users, &Users::recipient_delimiter>("users.recipient_delimiter",
                                                         "What separates user and detail; empty: nothing."),
      row<&Settings::users, &Users::cache>("users.cache", "How long a checked password is remembered; 0s: not."),
      row<&Settings::users, &Users::negative_cache>("users.negative_cache", "How long an unknown user is remembered."),

      row<&Settings::auth, &Auth::mechanisms>("auth.mechanisms", "SASL mechanisms offered, best first.",
                                              check_mechanism),
      row<&Settings::auth, &Auth::allow_plaintext>("auth.allow_plaintext",
                                                   "Whether passwords may come in clear text without TLS."),
      row<&Settings::auth, &Auth::channel_binding>(
          "auth.channel_binding",
          "Whether SCRAM is offered with channel binding (-PLUS); mutt 2.2 cannot log in then."),
      row<&Settings::auth, &Auth::failure_delay>("auth.failure_delay", "Wait before a failed log-in is answered."),
      row<&Settings::auth, &Auth::lockout_failures>(
          "auth.lockout_failures", "Failures of an address or account until it is locked out; 0: never."),
      row<&Settings::auth, &Auth::lockout_window>("auth.lockout_window", "Time in which the failures count."),
      row<&Settings::auth, &Auth::lockout>("auth.lockout", "How long the lock-out lasts."),

      row<&Settings::mda, &Mda::spam_mailbox>("mda.spam_mailbox", "Mailbox for mail marked as spam; empty: INBOX."),
      row<&Settings::mda, &Mda::mailbox_command>("mda.mailbox_command",
                                                 "A program and its arguments that delivers instead; empty: none."),
      row<&Settings::mda, &Mda::forward_files>("mda.forward_files",
                                               "Whether .forward files in home directories are honoured."),
      row<&Settings::mda, &Mda::batch>("mda.batch", "Messages that share one round of flushes."),
      row<&Settings::mda, &Mda::change_user>("mda.change_user",
                                             "Started as root: each delivery runs as the user it is for."),
      row<&Settings::mda, &Mda::detail_mailbox>(
          "mda.detail_mailbox", "Whether user+detail goes to the mailbox `detail`, where there is one."),
      row<&Settings::mda, &Mda::quota_full_bounces>(
          "mda.quota_full_bounces", "Whether a full mailbox refuses for good; else delivery is tried again."),
      row<&Settings::mda, &Mda::retry_first>("mda.retry_first", "Wait before the second attempt; doubles each time."),
      row<&Settings::mda, &Mda::retry_most>("mda.retry_most", "Longest wait between two attempts."),
      row<&Settings::mda, &Mda::give_up>("mda.give_up", "Age at which a message that cannot be delivered bounces."),
      row<&Settings::mda, &Mda::program_time>("mda.program_time", "Time that a program of an alias or .forward has."),
  };
}

}  // namespace mail::config
