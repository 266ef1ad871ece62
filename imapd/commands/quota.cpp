// QUOTA (RFC 9208): one quota root per account, its name is empty; resources STORAGE (units of 1024 octets) and
// MESSAGE.
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

/// `* QUOTA "" (STORAGE 10 512)`; resources without a limit are left out.
Completion send_quota(Session& session, std::string_view completed) {
  const auto usage = session.account().quota_usage();
  if (!usage) return failed(usage.error(), "Quota is not known");
  const auto limits = session.account().quota_limits();
  std::string resources;
  if (limits.octets != 0)
    resources = concat({"STORAGE ", decimal((usage->octets + 1023) / 1024), " ", decimal(limits.octets / 1024)});
  if (limits.messages != 0)
    resources +=
        concat({resources.empty() ? "" : " ", "MESSAGE ", decimal(usage->messages), " ", decimal(limits.messages)});
  session.untagged("QUOTA \"\" (" + resources + ")");
  return ok(std::string(completed));
}

Completion get_quota(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(root, arguments.astring());
  IMAPD_CHECK(arguments.end());
  if (!root.empty()) return no("[NONEXISTENT] No such quota root");
  return send_quota(session, "GETQUOTA completed");
}

Completion get_quota_root(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  session.out() += "* QUOTAROOT ";
  session.append_mailbox(name);
  session.out() += " \"\"\r\n";
  return send_quota(session, "GETQUOTAROOT completed");
}

Completion set_quota(Session&, imap::Arguments& arguments) {
  IMAPD_TRY(root, arguments.astring());
  IMAPD_CHECK(arguments.space());
  IMAPD_CHECK(arguments.skip_value());
  IMAPD_CHECK(arguments.end());
  if (!root.empty()) return no("[NONEXISTENT] No such quota root");
  // Limits are the operator's, in the users file and the configuration.
  return no("[NOPERM] Limits are set by the operator");
}

constexpr std::array kQuotaCommands{
    Command{.name = "GETQUOTA", .run = get_quota, .capability = "QUOTA", .disk = true},
    Command{.name = "GETQUOTAROOT", .run = get_quota_root, .capability = "QUOTA=RES-STORAGE", .disk = true},
    Command{.name = "SETQUOTA", .run = set_quota, .capability = "QUOTA=RES-MESSAGE"},
};

}  // namespace

std::span<const Command> quota_commands() { return kQuotaCommands; }

}  // namespace mail::imapd
