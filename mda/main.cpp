// mda: options and wiring. See mda(8).
#include <csignal>
#include <cstdio>

#include "base/strings.h"
#include "config/load.h"
#include "directory/from_settings.h"
#include "mda/daemon.h"
#include "mda/mailbox_command.h"
#include "mda/pipe_mode.h"
#include "net/command_line.h"
#include "net/daemon.h"
#include "route/from_settings.h"

namespace {

void add_mailbox_commands(CLI::App& app, mail::mda::MailboxCommand& command) {
  using Action = mail::mda::MailboxCommand::Action;
  auto* all = app.add_subcommand("mailbox", "Import, export, check, repair or reindex the mailboxes of --user");
  all->require_subcommand(1)->fallthrough();
  const auto add = [&](const char* name, const char* text, Action action) {
    auto* sub = all->add_subcommand(name, text)->fallthrough();
    sub->callback([&command, action] { command.action = action; });
    return sub;
  };
  const auto transfer = [&](const char* name, const char* text, Action action, const char* path) {
    auto* sub = add(name, text, action);
    const std::vector<std::string> formats = action == Action::import_mail
                                                 ? std::vector<std::string>{"mbox", "maildir", "account"}
                                                 : std::vector<std::string>{"mbox", "maildir"};
    sub->add_option("--format", command.format, "What PATH is (default: as it looks)")->check(CLI::IsMember(formats));
    sub->add_option("path", command.path, path)->required();
  };
  transfer("import", "Bring mail in, into --mailbox; what an earlier run brought is passed over", Action::import_mail,
           "An mbox file, a Maildir, or a Maildir with folders (of Dovecot, Courier, Relais)");
  transfer("export", "Write --mailbox out", Action::export_mail, "An mbox file or a Maildir");
  for (const auto& [name, text, action] :
       {std::tuple{"check", "Compare index, UID list and files", Action::check},
        std::tuple{"repair", "As check, and put right what is wrong", Action::repair},
        std::tuple{"reindex", "Make what searches and message lists need", Action::reindex}})
    add(name, text, action)->add_option("mailboxes", command.mailboxes, "Mailboxes (default: all)");
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mail;
  net::CommandLine line("mda", "mda: delivers mail to mailboxes. See mda(8).");
  line.add_check(directory::file_problems);
  line.add_check(route::map_problems);
  auto& app = line.app;
  mda::PipeOptions pipe;
  std::string sender, lmtp;
  bool daemon = false, once = false;
  app.add_option("-d,--user", pipe.user,
                 "Deliver the message on standard input to USER's mailbox (default: whoever runs this)");
  auto* sender_option =
      app.add_option("-f,--sender", sender, "Its reverse-path (default: what a From_ line or Return-Path says)");
  app.add_option("-a,--extension", pipe.extension, "What stood behind the + in the recipient's address");
  app.add_option("-m,--mailbox", pipe.mailbox, "Mailbox, made where it is missing (default INBOX)");
  app.add_option("--delivered-to", pipe.delivered_to, "Address for the Delivered-To field (default: the user's)");
  app.add_option("--id", pipe.id, "Letters, digits, - and _: a second delivery with the same id does nothing");
  app.add_flag("--requiretls", pipe.require_tls, "What a .forward sends on requires TLS (RFC 8689)");
  app.add_flag("--smtputf8", pipe.smtputf8, "What a .forward sends on may have a header in UTF-8 (RFC 6531)");
  app.add_flag("--daemon", daemon, "Deliver what comes to spool/local, and serve LMTP where lmtp.listen says");
  app.add_flag("--once", once, "Deliver what is due in spool/local, then end");
  auto* lmtp_option =
      app.add_option("--lmtp", lmtp, "Serve LMTP: one session on descriptor 0, or on ADDRESS:PORT or unix:/PATH")
          ->expected(0, 1);
  mda::MailboxCommand mailboxes;
  add_mailbox_commands(app, mailboxes);
  if (const auto status = line.parse(argc, argv)) return *status;
  net::prepare_process();
  if (line.check()) return line.run_check();
  const auto paths = line.files_there();
  const auto settings = config::load_or_complain("mda", paths);
  // Whatever is wrong with the configuration: mail that is piped in must wait, not bounce.
  const bool piped =
      !daemon && !once && lmtp_option->count() == 0 && mailboxes.action == mda::MailboxCommand::Action::none;
  if (!settings) return piped ? net::kExitTemporary : net::kExitConfig;
  if (daemon)
    return mda::run_daemon(
        *settings, {.config_paths = paths, .lmtp = lmtp.empty() ? std::vector<std::string>{} : std::vector{lmtp}});
  if (once) return mda::run_once(*settings);
  if (lmtp_option->count() > 0)
    return mda::run_daemon(*settings, {.config_paths = paths,
                                       .spool = false,
                                       .inetd = lmtp.empty(),
                                       .lmtp = lmtp.empty() ? std::vector<std::string>{} : std::vector{lmtp}});

  if (const auto opened = net::open_log("mda", settings->log); !opened)
    std::fprintf(stderr, "mda: %s\n", opened.error().text.c_str());
  if (mailboxes.action != mda::MailboxCommand::Action::none) {
    mailboxes.user = pipe.user;
    if (!pipe.mailbox.empty()) mailboxes.mailboxes.push_back(pipe.mailbox);
    mailboxes.config_paths = paths;
    return mda::run_mailbox_command(*settings, mailboxes);
  }
  if (sender_option->count() > 0) pipe.sender = sender;
  pipe.config_paths = paths;
  const auto message = mda::read_message(0, settings->smtp.message_octets);
  const auto outcome = message                                          ? mda::deliver_one(*settings, pipe, *message)
                       : message.error().kind == Error::Kind::permanent ? mda::permanent("5.3.4", message.error().text)
                                                                        : mda::temporary("4.3.0", message.error().text);
  if (!outcome.ok()) std::fprintf(stderr, "%s %s\n", outcome.status.c_str(), printable(outcome.text).c_str());
  return mda::exit_code(outcome);
}
