// The commands of the server: one row each, with what the dispatcher checks before it is run.
#pragma once
#include <optional>
#include <string_view>

#include "base/cursor.h"
#include "smtp/server_session.h"

namespace mail::smtp {

/// Where a command may stand. The dispatcher answers for those that are not fulfilled; handlers repeat no checks.
struct Rules {
  bool smtp = true;              ///< Exists in SMTP,
  bool lmtp = true;              ///< in LMTP.
  bool before_tls = false;       ///< May be given in clear where TLS is required.
  bool needs_hello = false;      ///< 503 before HELO, EHLO, LHLO.
  bool needs_sender = false;     ///< 503 before MAIL.
  bool no_sender = false;        ///< 503 inside a transaction.
  bool needs_recipient = false;  ///< 503, or 554 where all were refused.
  bool no_chunks = false;        ///< 503 while a message comes by BDAT.
  bool no_arguments = false;     ///< 501 with arguments.
};

struct ServerCommands {
  using Handler = std::optional<Event> (*)(ServerSession& session, Cursor& arguments);
  struct Command {
    std::string_view verb;
    Handler run;
    Rules rules{};
    std::string_view syntax{};  ///< For 501 and HELP; the verb alone where empty.
  };
  static std::optional<Event> dispatch(ServerSession& session, std::string_view line);

  static std::optional<Event> auth(ServerSession& session, Cursor& arguments);
  static std::optional<Event> bdat(ServerSession& session, Cursor& arguments);
  static std::optional<Event> data(ServerSession& session, Cursor& arguments);
  static std::optional<Event> ehlo(ServerSession& session, Cursor& arguments);
  static std::optional<Event> etrn(ServerSession& session, Cursor& arguments);
  static std::optional<Event> expn(ServerSession& session, Cursor& arguments);
  static std::optional<Event> helo(ServerSession& session, Cursor& arguments);
  static std::optional<Event> help(ServerSession& session, Cursor& arguments);
  static std::optional<Event> lhlo(ServerSession& session, Cursor& arguments);
  static std::optional<Event> mail(ServerSession& session, Cursor& arguments);
  static std::optional<Event> noop(ServerSession& session, Cursor& arguments);
  static std::optional<Event> quit(ServerSession& session, Cursor& arguments);
  static std::optional<Event> rcpt(ServerSession& session, Cursor& arguments);
  static std::optional<Event> rset(ServerSession& session, Cursor& arguments);
  static std::optional<Event> starttls(ServerSession& session, Cursor& arguments);
  static std::optional<Event> vrfy(ServerSession& session, Cursor& arguments);

 private:
  static std::optional<Event> hello(ServerSession& session, std::string_view verb, Cursor& arguments);
  static MaybeReply misplaced(const ServerSession& session, const Command& command, const Cursor& arguments);
  static std::optional<Event> refuse_chunk(ServerSession& session, Reply reply);
};

}  // namespace mail::smtp
