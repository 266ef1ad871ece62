#include "directory/login.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "sasl/digest.h"

namespace mail::directory {
namespace {

constexpr std::size_t kLongestResponse = 65536;  // octets of base64: RFC 4954 section 4 asks for 12288 at least

std::optional<std::string> decoded(std::string_view base64) {
  if (base64.size() > kLongestResponse) return std::nullopt;
  return base64 == "=" ? std::optional(std::string()) : from_base64(base64);
}

}  // namespace

sasl::ServerPolicy fitting_policy(sasl::ServerPolicy policy, const Directory& directory) {
  const bool sha1 = directory.all_have_scram_keys(sasl::ScramHash::sha1),
             sha256 = directory.all_have_scram_keys(sasl::ScramHash::sha256);
  std::erase_if(policy.mechanisms, [&](const auto& name) {
    return (iequals(name, "SCRAM-SHA-1") && !sha1) || (iequals(name, "SCRAM-SHA-256") && !sha256);
  });
  policy.keep_plain_secrets = directory.has_plain_secrets();
  return policy;
}

Login::Login(const Directory& directory, Throttle* throttle, const sasl::ServerPolicy& policy, RunBlocking run,
             Peer peer)
    : directory_(directory),
      throttle_(throttle),
      policy_(fitting_policy(policy, directory)),
      run_(std::move(run)),
      peer_(std::move(peer)) {}

Login::~Login() = default;

void Login::set_channel(sasl::Channel channel) { channel_ = std::move(channel); }
std::vector<std::string> Login::announced() const { return sasl::announced_mechanisms(policy_, channel_); }

template <class T>
void Login::blocking(std::function<T()> job, std::function<void(T)> then) {
  // The outcome is written on the worker and read afterwards on the connection's thread; this object may be gone by
  // then.
  auto outcome = std::make_shared<std::optional<T>>();
  run_([outcome, job = std::move(job)] { outcome->emplace(job()); },
       alive_.guard([outcome, then = std::move(then)] { then(std::move(**outcome)); }));
}

void Login::start(std::string_view mechanism, std::optional<std::string_view> initial_base64, Done done) {
  mechanism_ = to_upper(mechanism.substr(0, 40));
  user_.clear(), checked_.reset();
  auto exchange = sasl::begin_server(mechanism, policy_, channel_);
  if (!exchange)
    return refuse(
        exchange.error().kind == Error::Kind::refused ? LoginRefused::Why::needs_tls : LoginRefused::Why::unknown, "",
        exchange.error().text, done);
  exchange_ = std::move(*exchange);
  if (!initial_base64) return act(exchange_->start(std::nullopt), std::move(done));
  auto octets = decoded(*initial_base64);
  if (!octets) return refuse(LoginRefused::Why::malformed, "", "not base64", done);
  act(exchange_->start(*octets), std::move(done));
  sasl::cleanse(*octets);
}

void Login::respond(std::string_view line, Done done) {
  if (line == "*") return refuse(LoginRefused::Why::cancelled, "", "cancelled", done);
  if (!exchange_) return refuse(LoginRefused::Why::malformed, "", "no exchange", done);
  auto octets = line.empty() ? std::optional(std::string()) : decoded(line);
  if (!octets) return refuse(LoginRefused::Why::malformed, "", "not base64", done);
  act(exchange_->step(*octets), std::move(done));
  sasl::cleanse(*octets);
}

void Login::act(sasl::ServerStep step, Done done) {
  std::visit(overloaded{
                 [&](sasl::Challenge& challenge) { done(LoginChallenge{std::move(challenge.octets)}); },
                 [&](sasl::CheckPassword& check) {
                   if (locked(check.authcid, done)) return;
                   user_ = check.authcid;
                   check_password(user_, check.password, [this, done](Result<std::optional<User>> user) {
                     if (!user) return refuse(LoginRefused::Why::temporary, user_, user.error().text, done);
                     checked_ = std::move(*user);
                     act(exchange_->decide(checked_.has_value()), done);
                   });
                 },
                 [&](sasl::NeedScramKeys& need) {
                   if (locked(need.authcid, done)) return;
                   user_ = need.authcid;
                   blocking<Result<Directory::Keys>>(
                       [this_directory = &directory_, name = user_, hash = need.hash] {
                         return this_directory->scram_keys(name, hash);
                       },
                       [this, done](Result<Directory::Keys> keys) {
                         if (!keys) return refuse(LoginRefused::Why::temporary, user_, keys.error().text, done);
                         act(exchange_->give_keys(keys->keys, keys->known), done);
                       });
                 },
                 [&](sasl::NeedSecret& need) {
                   if (locked(need.authcid, done)) return;
                   user_ = need.authcid;
                   const auto secret = directory_.plain_secret(user_);
                   if (!secret) return refuse(LoginRefused::Why::temporary, user_, secret.error().text, done);
                   act(exchange_->give_secret(*secret), done);
                 },
                 [&](sasl::Success& success) { authenticated(success.authcid, success.authzid, done); },
                 [&](sasl::Failure& failure) {
                   refuse(failure.malformed ? LoginRefused::Why::malformed : LoginRefused::Why::credentials, user_,
                          failure.text, done);
                 },
             },
             step);
}

void Login::check_password(const std::string& name, const sasl::Secret& password,
                           std::function<void(Result<std::optional<User>>)> then) {
  if (auto user = directory_.authenticate_cached(name, password.text())) return then(std::move(user));
  blocking<Result<std::optional<User>>>(
      [directory = &directory_, name, password] { return directory->authenticate(name, password.text()); },
      std::move(then));
}

void Login::with_password(std::string_view name, std::string_view password, Done done) {
  mechanism_ = "password";
  user_ = name;
  if (locked(name, done)) return;
  check_password(user_, sasl::Secret(password), [this, done](Result<std::optional<User>> user) {
    if (!user) return refuse(LoginRefused::Why::temporary, user_, user.error().text, done);
    if (!*user) return refuse(LoginRefused::Why::credentials, user_, "wrong user name or password", done);
    accept(std::move(**user), done);
  });
}

void Login::with_apop(std::string_view name, std::string_view timestamp, std::string_view digest, Done done) {
  mechanism_ = "APOP";
  user_ = name;
  if (locked(name, done)) return;
  const auto secret = directory_.plain_secret(name);
  if (!secret) return refuse(LoginRefused::Why::temporary, user_, secret.error().text, done);
  const sasl::Secret input(
      concat({timestamp, *secret ? std::string_view((*secret)->text()) : std::string_view("no such user")}));
  const auto expected = to_hex(sasl::digest(EVP_md5(), input.text()));
  if (!sasl::equal_secrets(expected, to_lower(digest)) || !*secret)
    return refuse(LoginRefused::Why::credentials, user_, "wrong user name or password", done);
  authenticated(user_, "", done);
}

void Login::authenticated(const std::string& authcid, const std::string& authzid, const Done& done) {
  user_ = authcid;
  if (checked_ && (authzid.empty() || iequals(authzid, authcid) || iequals(authzid, checked_->name)))
    return accept(std::move(*std::exchange(checked_, std::nullopt)), done);
  blocking<Result<std::optional<User>>>(
      [directory = &directory_, authcid, authzid]() -> Result<std::optional<User>> {
        MAIL_TRY(user, directory->find_user(authcid));
        if (!user || authzid.empty()) return user;
        MAIL_TRY(wanted, directory->find_user(authzid));
        // Nobody acts for somebody else yet; the same user in another spelling is no other user.
        if (!wanted || wanted->name != user->name) return std::optional<User>();
        return user;
      },
      [this, done](Result<std::optional<User>> user) {
        if (!user) return refuse(LoginRefused::Why::temporary, user_, user.error().text, done);
        if (!*user || !(*user)->login_allowed)
          return refuse(LoginRefused::Why::credentials, user_, "authorization identity not allowed", done);
        accept(std::move(**user), done);
      });
}

void Login::accept(User user, const Done& done) {
  exchange_.reset();
  if (throttle_ != nullptr) throttle_->succeeded(peer_.address, user_);
  log_event(LogLevel::info, "login",
            {{"service", peer_.service},
             {"user", user.name},
             {"address", peer_.address},
             {"mechanism", mechanism_},
             {"tls", channel_.encrypted ? "yes" : "no"}});
  done(LoginAccepted{std::move(user), mechanism_});
}

void Login::refuse(LoginRefused::Why why, std::string_view name, std::string_view text, const Done& done) {
  exchange_.reset();
  LoginRefused refused{why, {}};
  if (why == LoginRefused::Why::credentials) {
    ++failures_;
    if (throttle_ != nullptr) {
      refused.delay = throttle_->ask(peer_.address, name).delay;
      throttle_->failed(peer_.address, name);
    }
  }
  // The form that fail2ban's filter reads: fail2ban.conf(5) with `event=login_failed .* address=<HOST>`.
  log_event(why == LoginRefused::Why::temporary ? LogLevel::error : LogLevel::info,
            why == LoginRefused::Why::credentials ? "login_failed" : "login_broken",
            {{"service", peer_.service},
             {"user", name.substr(0, 256)},
             {"address", peer_.address},
             {"mechanism", mechanism_},
             {"reason", text}});
  done(refused);
}

bool Login::locked(std::string_view name, const Done& done) {
  if (throttle_ == nullptr) return false;
  const auto verdict = throttle_->ask(peer_.address, name);
  if (!verdict.locked) return false;
  ++failures_;
  exchange_.reset();
  log_event(LogLevel::warning, "login_failed",
            {{"service", peer_.service},
             {"user", name.substr(0, 256)},
             {"address", peer_.address},
             {"mechanism", mechanism_},
             {"reason", "locked out"}});
  done(LoginRefused{LoginRefused::Why::credentials, verdict.delay});
  return true;
}

}  // namespace mail::directory
