// A command is one function and one row of a table (commands/*.cpp). What the dispatcher enforces and announces stands
// in the row.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "imap/arguments.h"

namespace mail::imapd {

class Session;

/// What a command's function, or a step of its work, came to.
struct Completion {
  enum class Kind : std::uint8_t {
    ok,
    no,
    bad,
    worker,  ///< Nothing done yet: call again where the disk may be waited for.
    more,    ///< Output is there to be sent; call Work::step() again when some of it is gone.
    line,    ///< The next line of the client goes to Session::on_line().
    wait,    ///< Session::resume() will come.
    silent,  ///< Answered already.
  } kind = Kind::ok;
  std::string text;  ///< Behind OK, NO or BAD, response code included.
};
inline Completion ok(std::string text) { return {Completion::Kind::ok, std::move(text)}; }
inline Completion no(std::string text) { return {Completion::Kind::no, std::move(text)}; }
inline Completion bad(std::string text) { return {Completion::Kind::bad, std::move(text)}; }
/// UIDONLY (RFC 9586 section 3.1): the client named a message by its number.
inline Completion uid_required() { return bad("[UIDREQUIRED] Message numbers are not used in this session"); }
inline Completion on_worker() { return {Completion::Kind::worker, {}}; }
inline Completion more() { return {Completion::Kind::more, {}}; }
/// NO with the response code that fits the error (RFC 5530).
Completion failed(const Error& error, std::string_view what);

/// The rest of a command that answers in pieces.
class Work {
 public:
  virtual ~Work() = default;
  virtual Completion step(Session& session) = 0;
};

enum States : std::uint8_t { kNotAuthenticated = 1, kAuthenticated = 2, kSelected = 4, kLoggedIn = 6, kAny = 7 };

struct Command {
  std::string_view name;
  Completion (*run)(Session&, imap::Arguments&);
  std::uint8_t states = kLoggedIn;
  std::string_view capability = {};  ///< What CAPABILITY announces because of this row.
  bool disk = false;                 ///< Always waits for the disk.
  bool keeps_numbers = false;        ///< No EXPUNGE may be sent at its end (RFC 9051 section 7.5.1).
  bool polls = false;                ///< Looks at what other programs did to the mailbox first.
  /// The capability is told before login as well: some clients (Python's imaplib) ask once, at the start.
  bool announced_early = false;
  bool ascii = false;  ///< Allowed where the server is UTF8=ONLY, whatever the client has enabled.
};

/// nullptr for an unknown name.
const Command* find_command(std::string_view name);
/// All families' rows, for CAPABILITY and tests.
std::span<const std::span<const Command>> command_families();

/// BAD for what is not of the grammar; NO for what is but names nothing that can be (a mailbox name that is no mUTF-7).
Completion rejected(Error error);

/// For parsing: declares `name`, or answers rejected().
#define IMAPD_TRY(name, expression)                                                                               \
  auto&& MAIL_CONCAT(name, _result) = (expression);                                                               \
  if (!MAIL_CONCAT(name, _result)) return ::mail::imapd::rejected(std::move(MAIL_CONCAT(name, _result)).error()); \
  auto&& name = *MAIL_CONCAT(name, _result)
#define IMAPD_CHECK(expression)                                                                     \
  do {                                                                                              \
    auto imapd_check_result = (expression);                                                         \
    if (!imapd_check_result) return ::mail::imapd::rejected(std::move(imapd_check_result).error()); \
  } while (false)

}  // namespace mail::imapd
