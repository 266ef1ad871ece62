// QUOTA and QUOTASET (RFC 9208): one quota root per account; the user's own has an empty name, another user's is called
// as his INBOX. Resources STORAGE (units of 1024 octets) and MESSAGE.
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

void append_root(Session& session, std::string_view root) {
  if (root.empty())
    session.out() += "\"\"";
  else
    session.append_mailbox(root);
}

/// `* QUOTA "" (STORAGE 10 512)`; resources without a limit are left out.
Completion send_quota(Session& session, store::Account& account, std::string_view root, std::string_view completed) {
  const auto usage = account.quota_usage();
  if (!usage) return failed(usage.error(), "Quota is not known");
  const auto limits = account.quota_limits();
  std::string resources;
  if (limits.octets != 0)
    resources = concat({"STORAGE ", decimal((usage->octets + 1023) / 1024), " ", decimal(limits.octets / 1024)});
  if (limits.messages != 0)
    resources +=
        concat({resources.empty() ? "" : " ", "MESSAGE ", decimal(usage->messages), " ", decimal(limits.messages)});
  session.out() += "* QUOTA ";
  append_root(session, root);
  session.out() += concat({" (", resources, ")\r\n"});
  return ok(std::string(completed));
}

/// The account behind a root's name: the user's own, or, for administrators, another user's.
std::optional<Completion> find_root(Session& session, const std::string& root, Place& place) {
  if (root.empty()) {
    place.account = session.shared_account();
    return std::nullopt;
  }
  const auto foreign = foreign_name(session.environment(), root);
  if (!foreign || foreign->mailbox != "INBOX" || !is_administrator(session))
    return no("[NONEXISTENT] No such quota root");
  return resolve(session, root, "", place);
}

Completion get_quota(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(root, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  Place place;
  if (auto refused = find_root(session, root, place)) return std::move(*refused);
  return send_quota(session, *place.account, root, "GETQUOTA completed");
}

Completion get_quota_root(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.end());
  Place place;
  if (auto refused = resolve(session, name, "", place)) return std::move(*refused);
  // RFC 9208 section 4.1.2: who has no right on it learns nothing. Own names need not exist yet.
  if (place.foreign() && place.rights.find_first_of("lrikxa") == std::string::npos)
    return no("[NONEXISTENT] No such mailbox");
  const auto root = place.foreign() ? name_for_others(session.environment(), place.owner, "INBOX") : std::string();
  session.out() += "* QUOTAROOT ";
  session.append_mailbox(name);
  session.out() += ' ';
  append_root(session, root);
  session.out() += "\r\n";
  return send_quota(session, *place.account, root, "GETQUOTAROOT completed");
}

/// `(STORAGE 512 MESSAGE 100)`; what is not named has no limit afterwards (section 4.1.3).
Result<store::QuotaLimits> take_limits(imap::Arguments& arguments) {
  store::QuotaLimits limits;
  MAIL_CHECK(arguments.open());
  if (arguments.take(')')) return limits;
  do {
    MAIL_TRY(resource, arguments.atom());
    MAIL_CHECK(arguments.space());
    MAIL_TRY(limit, arguments.number64());
    if (iequals(resource, "STORAGE") && limit <= UINT64_MAX / 1024)
      limits.octets = limit * 1024;
    else if (iequals(resource, "MESSAGE"))
      limits.messages = limit;
    else
      return fail(Error::Kind::refused, "No such quota resource");
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return limits;
}

Completion set_quota(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(root, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(limits, take_limits(arguments));
  IMAPD_CHECK(arguments.end());
  if (!is_administrator(session)) return no("[NOPERM] Limits are set by the operator");
  Place place;
  if (auto refused = find_root(session, root, place)) return std::move(*refused);
  if (auto done = place.account->set_quota_limits(limits); !done) return failed(done.error(), "Quota not set");
  return send_quota(session, *place.account, root, "SETQUOTA completed");
}

constexpr std::array kQuotaCommands{
    Command{.name = "GETQUOTA", .run = get_quota, .capability = "QUOTA", .disk = true},
    Command{.name = "GETQUOTAROOT", .run = get_quota_root, .capability = "QUOTA=RES-STORAGE", .disk = true},
    Command{.name = "SETQUOTA", .run = set_quota, .capability = "QUOTA=RES-MESSAGE", .disk = true},
};

}  // namespace

std::span<const Command> quota_commands() { return kQuotaCommands; }

}  // namespace mail::imapd
