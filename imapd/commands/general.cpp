// CAPABILITY, NOOP, CHECK, LOGOUT, ID, ENABLE: what needs no mailbox.
#include <array>

#include "base/log.h"
#include "base/strings.h"
#include "imap/response.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

Completion capability(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  session.untagged("CAPABILITY " + session.capabilities());
  return ok("CAPABILITY completed");
}

Completion noop(Session&, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  return ok("NOOP completed");
}

Completion check(Session&, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  return ok("CHECK completed");
}

Completion logout(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  session.close_mailbox();
  session.untagged("BYE Logging out");
  session.log_out();
  return ok("LOGOUT completed");
}

/// ID (RFC 2971): what the client says of itself goes to the log, which shows what is in use.
Completion id(Session& session, imap::Arguments& arguments) {
  constexpr std::size_t kMostFields = 30;
  std::string said;
  if (!arguments.take_word("NIL")) {
    IMAPD_CHECK(arguments.open());
    std::size_t fields = 0;
    if (!arguments.take(')')) {
      do {
        IMAPD_TRY(name, arguments.string());
        IMAPD_CHECK(arguments.space());
        IMAPD_TRY(value, arguments.nstring());
        if (++fields > kMostFields) return bad("Too many fields");
        if (value && said.size() < 500)
          said += (said.empty() ? "" : ", ") + name.substr(0, 30) + "=" + value->substr(0, 100);
      } while (arguments.take(' '));
      IMAPD_CHECK(arguments.close());
    }
  }
  IMAPD_CHECK(arguments.end());
  if (!said.empty()) log_event(LogLevel::info, "client_id", {{"user", session.user()}, {"client", said}});
  session.untagged("ID (\"name\" \"Relais\" \"version\" \"" RELAIS_VERSION "\")");
  return ok("ID completed");
}

struct EnableRow {
  std::string_view name;
  void (*enable)(Session&);
};
constexpr std::array kEnable{
    EnableRow{"CONDSTORE", [](Session& s) { s.use_condstore(); }},
    EnableRow{"IMAP4REV2", [](Session& s) { s.enabled().imap4rev2 = true; }},
    EnableRow{"QRESYNC",
              [](Session& s) {
                s.use_condstore();
                s.enabled().qresync = true;
              }},
    EnableRow{"UIDONLY", [](Session& s) { s.enabled().uid_only = true; }},
    EnableRow{"UTF8=ACCEPT", [](Session& s) { s.enabled().utf8 = true; }},
};

/// ENABLE (RFC 5161): names that are not known are passed over in silence.
Completion enable(Session& session, imap::Arguments& arguments) {
  std::string enabled;
  do {
    const auto name = arguments.cursor().take_while([](unsigned char c) { return imap::is_atom_char(c); });
    if (name.empty()) return bad("Capability expected");
    for (const auto& row : kEnable) {
      if (!iequals(row.name, name)) continue;
      row.enable(session);
      enabled += concat({" ", name});
    }
  } while (arguments.take(' '));
  IMAPD_CHECK(arguments.end());
  session.untagged("ENABLED" + enabled);
  return ok("ENABLE completed");
}

constexpr std::array kGeneralCommands{
    Command{.name = "CAPABILITY", .run = capability, .states = kAny},
    Command{.name = "NOOP", .run = noop, .states = kAny, .polls = true},
    Command{.name = "CHECK", .run = check, .states = kSelected, .polls = true},
    Command{.name = "LOGOUT", .run = logout, .states = kAny},
    Command{.name = "ID", .run = id, .states = kAny, .capability = "ID"},
    Command{.name = "ENABLE",
            .run = enable,
            .states = kLoggedIn,
            .capability = "ENABLE",
            .announced_early = true,
            .ascii = true},
};

}  // namespace

std::span<const Command> general_commands() { return kGeneralCommands; }

}  // namespace mail::imapd
