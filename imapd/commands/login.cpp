// STARTTLS, AUTHENTICATE, LOGIN, UNAUTHENTICATE.
#include <array>
#include <optional>

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

Completion start_tls(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  if (session.encrypted()) return bad("TLS is active already");
  if (!session.environment().tls_available) return no("[UNAVAILABLE] TLS is not available");
  session.request(Session::Next::start_tls);
  return ok("Begin TLS negotiation now");
}

Completion refuse(const directory::LoginRefused& refused) {
  using Why = directory::LoginRefused::Why;
  switch (refused.why) {
    case Why::credentials:
      return no("[AUTHENTICATIONFAILED] Authentication failed");
    case Why::temporary:
      return no("[UNAVAILABLE] Authentication is not possible now");
    case Why::malformed:
      return bad("Malformed authentication data");
    case Why::unknown:
      return no("[CANNOT] Mechanism is not offered");
    case Why::needs_tls:
      return no("[PRIVACYREQUIRED] Start TLS first");
    case Why::cancelled:
      break;
  }
  return bad("Authentication cancelled");
}

/// Waits for what the directory says, and goes on from there until somebody is logged in or refused.
class Authentication : public std::enable_shared_from_this<Authentication> {
 public:
  explicit Authentication(Session& session) : session_(session) {}

  directory::Login::Done answer() {
    return [self = weak_from_this()](directory::LoginStep step) {
      const auto authentication = self.lock();
      if (!authentication) return;
      authentication->step_ = std::move(step);
      if (authentication->waiting_) authentication->session_.wake();
    };
  }
  Completion wait() {
    return session_.wait_for([self = shared_from_this()] { return self->resume(); });
  }

 private:
  Completion resume() {
    if (opening_) return session_.open_account();
    if (refused_) {
      if (session_.environment().clock->steady() < not_before_) return pause();
      return give_up();
    }
    if (!step_) {
      waiting_ = true;
      return {Completion::Kind::wait, {}};
    }
    waiting_ = false;
    const auto step = std::move(*step_);
    step_.reset();
    return std::visit(overloaded{
                          [this](const directory::LoginChallenge& challenge) { return ask(challenge); },
                          [this](const directory::LoginAccepted& accepted) {
                            session_.log_in(accepted.user);
                            opening_ = true;
                            return session_.open_account();
                          },
                          [this](const directory::LoginRefused& refused) {
                            refused_ = refused;
                            not_before_ = session_.environment().clock->steady() + refused.delay;
                            return resume();
                          },
                      },
                      step);
  }

  Completion pause() {
    using std::chrono::ceil;
    session_.set_delay(ceil<std::chrono::milliseconds>(not_before_ - session_.environment().clock->steady()));
    return {Completion::Kind::wait, {}};
  }

  Completion give_up() {
    auto completion = refuse(*refused_);
    constexpr int kMostFailures = 5;
    if (session_.login().failures() >= kMostFailures) {
      session_.untagged("BYE Too many failed logins");
      session_.log_out();
    }
    return completion;
  }

  Completion ask(const directory::LoginChallenge& challenge) {
    return session_.read_line(
        [self = shared_from_this()](std::string_view line) {
          self->session_.login().respond(line, self->answer());
          return self->wait();
        },
        to_base64(challenge.octets));
  }

  Session& session_;
  std::optional<directory::LoginStep> step_;
  std::optional<directory::LoginRefused> refused_;
  SteadyTime not_before_{};
  bool waiting_ = false;
  bool opening_ = false;
};

Completion authenticate(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(mechanism, arguments.atom());
  std::optional<std::string> initial;
  if (arguments.take(' ')) {  // SASL-IR (RFC 4959)
    initial = std::string(arguments.cursor().take_while([](unsigned char c) { return c > 0x20 && c < 0x7f; }));
    if (initial->empty()) return bad("Initial response expected");
  }
  IMAPD_CHECK(arguments.end());
  const auto authentication = std::make_shared<Authentication>(session);
  session.login().start(mechanism, initial ? std::optional<std::string_view>(*initial) : std::nullopt,
                        authentication->answer());
  return authentication->wait();
}

Completion login(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(name, arguments.astring());
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(password, arguments.astring());
  IMAPD_CHECK(arguments.end());
  if (!session.encrypted() && !session.environment().policy.allow_plaintext)
    return refuse({directory::LoginRefused::Why::needs_tls, {}});
  const auto authentication = std::make_shared<Authentication>(session);
  session.login().with_password(name, password, authentication->answer());
  sasl::cleanse(password);
  return authentication->wait();
}

/// RFC 8437: back to the state before login, on the same connection.
Completion unauthenticate(Session& session, imap::Arguments& arguments) {
  IMAPD_CHECK(arguments.end());
  session.forget_user();
  return ok("UNAUTHENTICATE completed");
}

constexpr std::array kLoginCommands{
    Command{.name = "STARTTLS", .run = start_tls, .states = kNotAuthenticated},
    Command{.name = "AUTHENTICATE", .run = authenticate, .states = kNotAuthenticated},
    Command{.name = "LOGIN", .run = login, .states = kNotAuthenticated},
    Command{.name = "UNAUTHENTICATE",
            .run = unauthenticate,
            .states = kLoggedIn,
            .capability = "UNAUTHENTICATE",
            .ascii = true},
};

}  // namespace

std::span<const Command> login_commands() { return kLoginCommands; }

}  // namespace mail::imapd
