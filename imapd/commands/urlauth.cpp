// URLAUTH (RFC 4467): URLs that let others read a message or a part of one, made and honoured by the mechanism
// INTERNAL.
//
// A token is `01` (the algorithm: HMAC-SHA-256 of the URL before `:INTERNAL`, keyed with the mailbox's access key) and
// 64 hexadecimal digits. The keys are the account's, one per mailbox, by its object id (Account::access_key).
#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "base/id.h"
#include "base/log.h"
#include "base/strings.h"
#include "directory/directory.h"
#include "imap/response.h"
#include "imapd/commands/families.h"
#include "imapd/message_url.h"
#include "imapd/session.h"
#include "sasl/digest.h"

namespace mail::imapd {
namespace {

constexpr std::string_view kMechanism = "INTERNAL";
constexpr std::size_t kMostUrls = 100;  ///< Of one command.

std::string token_of(std::string_view rump, std::string_view key) {
  return "01" + to_hex(sasl::hmac(EVP_sha256(), key, rump));
}

/// RESETKEY [mailbox [mechanism …]]: URLs made before are worth nothing from now on.
Completion reset_key(Session& session, imap::Arguments& arguments) {
  if (arguments.at_end()) {
    if (auto removed = session.account().remove_access_keys(); !removed) return failed(removed.error(), "Not removed");
    return ok("All keys removed");
  }
  IMAPD_TRY(name, session.mailbox_argument(arguments));
  bool known = arguments.at_end();
  while (arguments.take(' ')) {
    IMAPD_TRY(mechanism, arguments.atom());
    known = known || iequals(mechanism, kMechanism);
  }
  IMAPD_CHECK(arguments.end());
  if (!known) return no("[CANNOT] INTERNAL is the only mechanism");
  const auto status = session.account().status(name);
  if (!status) return failed(status.error(), "No such mailbox");
  if (auto made = session.account().make_access_key(status->mailbox_id, true); !made)
    return failed(made.error(), "Key not changed");
  return ok("[URLMECH INTERNAL] mechs");
}

/// GENURLAUTH url mechanism …
Completion generate(Session& session, imap::Arguments& arguments) {
  std::vector<std::pair<std::string, imap::MessageUrl>> given;
  do {
    IMAPD_TRY(text, arguments.astring());
    IMAPD_TRY(url, imap::parse_message_url(text));
    if (!url.absolute || url.user.empty()) return bad("missing owner username in supplied URL");
    if (!url.access) return bad("missing access identifier in supplied URL");
    if (!url.mechanism.empty()) return bad("supplied URL is authorized already");
    IMAPD_CHECK(arguments.space());
    IMAPD_TRY(mechanism, arguments.atom());
    if (!iequals(mechanism, kMechanism)) return bad("INTERNAL is the only mechanism");
    if (given.size() == kMostUrls) return no("[LIMIT] Too many URLs");
    given.emplace_back(std::move(text), std::move(url));
  } while (arguments.take(' '));
  IMAPD_CHECK(arguments.end());
  std::string answer = "GENURLAUTH";
  for (const auto& [text, url] : given) {
    const auto owner = session.environment().directory->find_user(url.user);
    if (!owner) return failed(owner.error(), "The owner cannot be looked up");
    // The keys of other users are theirs: whether such a user exists is not told.
    if (!*owner || (*owner)->name != session.user()) return bad("the owner in the URL must be you");
    const auto view = open_url_mailbox(session, session.account(), url);
    if (!view)
      return view.error().kind == Error::Kind::temporary ? failed(view.error(), "The mailbox cannot be opened")
                                                         : bad("no such mailbox");
    const auto key = session.account().make_access_key((*view)->mailbox_id(), false);
    if (!key) return failed(key.error(), "No key");
    answer += ' ';
    imap::append_string(answer, concat({text, ":", to_lower(kMechanism), ":", token_of(text, *key)}));
  }
  session.untagged(answer);
  return ok("GENURLAUTH completed");
}

/// Answers URLFETCH, one URL after the other, each body in pieces.
class UrlFetching : public Work {
 public:
  explicit UrlFetching(std::vector<std::string> urls) : urls_(std::move(urls)) {}

  Completion step(Session& session) override {
    if (!session.may_block()) return on_worker();
    auto& out = session.out();
    for (;;) {
      if (body_) {
        if (!body_->produce(out, Session::kPiece)) return more();
        body_.reset();
        out += "\r\n";
      }
      if (out.size() >= Session::kPiece) return more();
      if (next_ == urls_.size()) return ok("URLFETCH completed");
      const auto& text = urls_[next_++];
      auto body = open(session, text);
      if (!body && body.error().kind == Error::Kind::temporary) {
        log_event(LogLevel::warning, "urlfetch_failed", {{"user", session.user()}, {"error", body.error().text}});
        return failed(body.error(), "A message cannot be read");
      }
      begin(out, text, std::move(body));
    }
  }

 private:
  void begin(std::string& out, const std::string& text, Result<BodyOctets> body) {
    out += "* URLFETCH ";
    imap::append_string(out, text);
    if (!body) {
      out += " NIL\r\n";
      return;
    }
    out += body->has_nul() ? " ~{" : " {";
    append_decimal(out, body->octets());
    out += "}\r\n";
    if (body->octets() > 0)
      body_ = std::move(*body);
    else
      out += "\r\n";
  }

  static bool may_use(const Session& session, const imap::UrlAccess& access) {
    using Kind = imap::UrlAccess::Kind;
    const auto& submitters = session.environment().settings.imap.url_submitters;
    switch (access.kind) {
      case Kind::submit:
        return std::ranges::find(submitters, session.user()) != submitters.end();
      case Kind::user: {
        const auto user = session.environment().directory->find_user(access.user);
        return user && *user && (*user)->name == session.user();
      }
      case Kind::authenticated:  // Nobody is logged in anonymously here.
      case Kind::anonymous:
        return true;
    }
    return false;
  }

  static Result<BodyOctets> open(const Session& session, const std::string& text) {
    MAIL_TRY(url, imap::parse_message_url(text));
    const auto refused = [] { return fail(Error::Kind::refused, "The URL is not valid"); };
    if (!url.absolute || url.user.empty() || !url.access || url.mechanism != kMechanism) return refused();
    if (!may_use(session, *url.access)) return refused();
    if (url.expire && session.environment().clock->now() > *url.expire) return refused();
    MAIL_TRY(view, authorized_mailbox(session, url, text));
    return open_url_body(*view, url);
  }

  /// The mailbox of the URL's owner, where the token is right.
  static Result<std::shared_ptr<store::View>> authorized_mailbox(const Session& session, const imap::MessageUrl& url,
                                                                 const std::string& text) {
    const auto& environment = session.environment();
    MAIL_TRY(owner, environment.directory->find_user(url.user));
    Result<std::shared_ptr<store::View>> view = fail(Error::Kind::not_found, "No such user");
    std::optional<std::string> key;
    if (owner) {
      MAIL_TRY(account, environment.store->account(location_of(*owner, environment.settings)));
      view = open_url_mailbox(session, *account, url);
      if (view) {
        MAIL_TRY(found, account->access_key((*view)->mailbox_id()));
        key = std::move(found);
      }
    }
    // A mailbox that is not there, or has no key, takes as long as one that has (section 6).
    const auto token = token_of(std::string_view(text).substr(0, url.rump_octets), key ? *key : random_octets(32));
    const auto given = to_lower(url.token);
    const bool same = given.size() == token.size() && CRYPTO_memcmp(given.data(), token.data(), token.size()) == 0;
    if (!view) return view;
    if (!key || !same) return fail(Error::Kind::refused, "The token is wrong");
    return view;
  }

  std::vector<std::string> urls_;
  std::size_t next_ = 0;
  std::optional<BodyOctets> body_;
};

Completion url_fetch(Session& session, imap::Arguments& arguments) {
  std::vector<std::string> urls;
  do {
    IMAPD_TRY(text, arguments.astring());
    if (urls.size() == kMostUrls) return no("[LIMIT] Too many URLs");
    urls.push_back(std::move(text));
  } while (arguments.take(' '));
  IMAPD_CHECK(arguments.end());
  return session.start(std::make_unique<UrlFetching>(std::move(urls)));
}

constexpr std::array kUrlauthCommands{
    Command{.name = "RESETKEY", .run = reset_key, .capability = "URLAUTH", .disk = true},
    Command{.name = "GENURLAUTH", .run = generate, .disk = true},
    Command{.name = "URLFETCH", .run = url_fetch},
};

}  // namespace

std::span<const Command> urlauth_commands() { return kUrlauthCommands; }

}  // namespace mail::imapd
