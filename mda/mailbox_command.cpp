#include "mda/mailbox_command.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>

#include "base/strings.h"
#include "mda/addressed.h"
#include "mda/environment.h"
#include "net/daemon.h"
#include "store/from_settings.h"
#include "store/maintenance.h"

namespace mail::mda {
namespace {

std::atomic<bool> stopped{false};

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = true; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

/// One line that is written over and over, on a terminal only.
class Bar {
 public:
  explicit Bar(std::string what) : what_(printable(what)) {}
  ~Bar() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }
  store::Progress progress() {
    return [this](std::uint64_t done, std::uint64_t total) {
      show(done, total);
      return !stopped;
    };
  }

 private:
  void show(std::uint64_t done, std::uint64_t total) {
    constexpr std::uint64_t kWidth = 30;
    const auto percent = total == 0 ? 0 : std::min<std::uint64_t>(100, done * 100 / total);
    if (::isatty(2) == 0 || (shown_ && percent == percent_)) return;
    shown_ = true;
    percent_ = percent;
    const auto filled = static_cast<std::size_t>(percent * kWidth / 100);
    std::fprintf(stderr, "\r\033[K%s [%s%s] %llu%%", what_.c_str(), std::string(filled, '#').c_str(),
                 std::string(kWidth - filled, '.').c_str(), static_cast<unsigned long long>(percent));
    std::fflush(stderr);
  }
  std::string what_;
  bool shown_ = false;
  std::uint64_t percent_ = 0;
};

int complain(const Error& error) {
  std::fprintf(stderr, "mda mailbox: %s\n", printable(error.text).c_str());
  if (error.kind == Error::Kind::temporary || error.system == EDQUOT) return net::kExitTemporary;
  return error.kind == Error::Kind::syntax ? net::kExitData : net::kExitUnavailable;
}

int ended(int code) {
  if (!stopped) return code;
  std::fputs("mda mailbox: stopped; nothing is lost. The same command goes on from here.\n", stderr);
  return net::kExitTemporary;
}

void print_lines(const char* mailbox, const std::vector<std::string>& lines) {
  for (const auto& line : lines) std::printf("%s: %s\n", mailbox, printable(line).c_str());
}

unsigned long long count(std::uint64_t number) { return number; }

/// Where Dovecot keeps mail in a format of its own there.
bool is_dbox(const std::string& path) {
  std::error_code error;
  return std::ranges::any_of(std::array{"mailboxes", "storage", "dbox-Mails"}, [&](const char* name) {
    return std::filesystem::is_directory(std::filesystem::path(path) / name, error);
  });
}

/// What a source or a destination is, where the command does not say: a file is an mbox, a directory a Maildir, one
/// with folders a whole account.
std::string format_of(const MailboxCommand& command) {
  if (!command.format.empty()) return command.format;
  std::error_code error;
  const bool directory = std::filesystem::is_directory(command.path, error);
  if (command.action == MailboxCommand::Action::export_mail)
    return directory || command.path.ends_with('/') ? "maildir" : "mbox";
  if (!directory) return "mbox";
  if (!command.mailboxes.empty()) return "maildir";
  for (const auto& entry : std::filesystem::directory_iterator(command.path, error))
    if (entry.path().filename().string().starts_with(".") && entry.is_directory(error)) return "account";
  return "maildir";
}

int import_mail(store::Account& account, const MailboxCommand& command) {
  const auto mailbox = command.mailboxes.empty() ? std::string("INBOX") : command.mailboxes.front();
  const auto format = format_of(command);
  if (format != "mbox" && is_dbox(command.path)) {
    std::fprintf(
        stderr,
        "mda mailbox: %s is Dovecot's dbox, whose flags and UIDs only Dovecot can read; let it write a Maildir "
        "with \"doveadm backup -u USER maildir:DIRECTORY\", and import that\n",
        printable(command.path).c_str());
    return net::kExitData;
  }
  Result<store::ImportReport> report = tl::unexpected(Error{});
  {
    Bar bar("import " + command.path);
    report = format == "account"   ? store::import_account(account, command.path, bar.progress())
             : format == "maildir" ? store::import_maildir(account, mailbox, command.path, bar.progress())
                                   : store::import_mbox(account, mailbox, command.path, bar.progress());
  }
  if (!report) return complain(report.error());
  std::printf("imported %llu messages", count(report->imported));
  if (report->there_already > 0) std::printf(", %llu were there already", count(report->there_already));
  std::puts("");
  for (const auto& name : report->new_uids)
    std::printf("%s: new UIDs: the mailbox has had messages of its own, or the source has no uid list\n",
                printable(name).c_str());
  print_lines("not imported", report->problems);
  return ended(report->problems.empty() ? net::kExitOk : net::kExitData);
}

int export_mail(store::Account& account, const MailboxCommand& command) {
  const auto mailbox = command.mailboxes.empty() ? std::string("INBOX") : command.mailboxes.front();
  Result<std::uint64_t> done = std::uint64_t{0};
  {
    Bar bar("export " + mailbox);
    done = format_of(command) == "maildir" ? store::export_maildir(account, mailbox, command.path, bar.progress())
                                           : store::export_mbox(account, mailbox, command.path, bar.progress());
  }
  if (!done) return stopped ? ended(net::kExitOk) : complain(done.error());
  std::printf("exported %llu messages\n", count(*done));
  return net::kExitOk;
}

/// check, repair and reindex of one mailbox. @return whether all is well now
Result<bool> look_after(store::Account& account, MailboxCommand::Action action, const std::string& mailbox) {
  const auto name = printable(mailbox);
  if (action == MailboxCommand::Action::reindex) {
    Bar bar("reindex " + mailbox);
    MAIL_TRY(messages, store::reindex(account, mailbox, bar.progress()));
    std::printf("%s: %llu messages\n", name.c_str(), count(messages));
    return true;
  }
  const bool repair = action == MailboxCommand::Action::repair;
  MAIL_TRY(report, store::check_mailbox(account, mailbox, repair));
  std::printf("%s: %llu messages, %llu problems\n", name.c_str(), count(report.messages),
              count(report.problems.size()));
  print_lines(name.c_str(), report.problems);
  print_lines(name.c_str(), report.repaired);
  if (!repair || report.problems.empty()) return report.problems.empty();
  MAIL_TRY(again, store::check_mailbox(account, mailbox, false));
  for (const auto& problem : again.problems) std::printf("%s: still: %s\n", name.c_str(), printable(problem).c_str());
  return again.problems.empty();
}

int look_after_all(store::Account& account, const MailboxCommand& command) {
  auto mailboxes = command.mailboxes;
  if (mailboxes.empty()) {
    const auto entries = account.list();
    if (!entries) return complain(entries.error());
    for (const auto& entry : *entries)
      if (entry.exists) mailboxes.push_back(entry.name);
  }
  int code = net::kExitOk;
  for (const auto& mailbox : mailboxes) {
    if (stopped) break;
    const auto good = look_after(account, command.action, mailbox);
    if (!good && stopped) break;
    if (!good)
      code = complain(good.error());
    else if (!*good && code == net::kExitOk)
      code = 1;
  }
  return ended(code);
}

}  // namespace

int run_mailbox_command(const config::Settings& settings, const MailboxCommand& command) {
  auto environment = Environment::open(settings, false, {.config_paths = command.config_paths});
  if (!environment) return complain(environment.error());
  const auto name = command.user.empty() ? own_name() : command.user;
  const auto found = find_addressed(**environment, name);
  if (!found) return complain(found.error());
  if (!*found) {
    std::fprintf(stderr, "mda mailbox: no such user: %s; name one with --user\n", printable(name).c_str());
    return net::kExitNoUser;
  }
  const auto& user = (*found)->user;
  if (user.mbox) {
    std::fprintf(stderr, "mda mailbox: the mail of %s is an mbox file, %s: there is no Maildir to work on\n",
                 printable(user.name).c_str(), printable(user.mail).c_str());
    return net::kExitConfig;
  }
  if (const auto status = become(user, settings.run); !status) return complain(status.error());
  const auto account = (*environment)
                           ->store->account(store::location_from(settings, user.name, user.mail,
                                                                 {user.quota_octets, user.quota_messages}));
  if (!account) return complain(account.error());
  stop_on_signals();
  switch (command.action) {
    case MailboxCommand::Action::import_mail:
      return import_mail(**account, command);
    case MailboxCommand::Action::export_mail:
      return export_mail(**account, command);
    default:
      return look_after_all(**account, command);
  }
}

}  // namespace mail::mda
