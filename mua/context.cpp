#include "mua/context.h"

#include <stdlib.h>
#include <sysexits.h>

#include <filesystem>

#include "base/strings.h"
#include "config/load.h"
#include "mua/text.h"

namespace mail::mua {

namespace {

/// The words of an option: no quotes, no shell. Who needs more writes a list in mua.toml.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  for (const auto word : split_words(text)) out.emplace_back(word);
  return out;
}

Result<config::Settings> named_settings(const std::vector<std::string>& paths) {
  auto settings = config::load(paths);
  if (settings) return std::move(*settings);
  std::string problems;
  for (const auto& problem : settings.error())
    problems += concat({problems.empty() ? "" : "\n", config::to_string(problem)});
  return fail(Error::Kind::syntax, problems);
}

}  // namespace

int Context::check() const {
  if (!needs_account) return 0;
  const auto accounts = load_accounts(accounts_file);
  if (!accounts) {
    const bool missing = accounts.error().kind == Error::Kind::not_found;
    return complain(accounts.error().text, missing ? EX_NOINPUT : EX_CONFIG);
  }
  const auto chosen = accounts->choose(account_name);
  if (!chosen) return complain(chosen.error().text, account_name.empty() ? EX_CONFIG : EX_USAGE);
  const auto wrong = [&](const std::string& where, int code) {
    if (where.empty() || where == "spool") return 0;
    const auto parsed = parse_url(where);
    return parsed ? 0 : complain(parsed.error().text, code);
  };
  if (const int code = wrong(url, EX_USAGE); code != 0) return code;
  if (const int code = wrong(via, EX_USAGE); code != 0) return code;
  if (const int code = wrong(chosen->store, EX_CONFIG); code != 0) return code;
  return wrong(chosen->submission, EX_CONFIG);
}

Result<AccountSettings> Context::account() const {
  MAIL_TRY(accounts, load_accounts(accounts_file));
  MAIL_TRY(account, accounts.choose(account_name));
  if (!url.empty()) account.store = url;
  if (!via.empty()) account.submission = via == "spool" ? std::string() : via;
  if (!ca_file.empty()) account.ca_file = ca_file;
  if (!password_file.empty() || !password_command.empty()) {
    account.password = {words_of(password_command), password_file};
    account.submission_password = {};
    account.oauth_token = {};
  }
  return account;
}

Result<std::unique_ptr<Source>> Context::store() const {
  MAIL_TRY(settings, account());
  auto where = settings.store;
  if (where.empty()) {
    const char* maildir = ::getenv("MAILDIR");
    where = maildir != nullptr && *maildir != '\0' ? std::string(maildir) : system_user().home + "/Maildir";
  }
  MAIL_TRY(parsed, parse_url(where));
  Login login{parsed, settings.password, settings.oauth_token, settings.ca_file};
  if (login.url.scheme != Url::Scheme::maildir && login.url.user.empty())
    login.url.user = settings.address.empty() ? system_user().name : settings.address;
  switch (parsed.scheme) {
    case Url::Scheme::maildir:
      return open_maildir(parsed.path);
    case Url::Scheme::imap:
      return open_imap(login);
    case Url::Scheme::pop3:
      return open_pop3(login);
    case Url::Scheme::smtp:
      break;
  }
  return fail(Error::Kind::syntax, "mail cannot be read by SMTP: a store is a Maildir, imap(s):// or pop3(s)://");
}

Result<std::unique_ptr<Source>> Context::source(bool read_only) const {
  auto opened = store();
  if (!opened) return opened;
  MAIL_CHECK((*opened)->open(folder, read_only));
  return opened;
}

Result<config::Settings> Context::host_settings() const {
  auto paths = config_files;
  std::error_code error;
  // For sendmail and mail, whose options are full.
  if (const char* named = ::getenv("RELAIS_CONFIG"); paths.empty() && named != nullptr && *named != '\0')
    return named_settings({named});
  if (paths.empty() && std::filesystem::exists(config::kDefaultPath, error)) paths.emplace_back(config::kDefaultPath);
  if (paths.empty()) return config::Settings{};
  auto settings = named_settings(paths);
  // A user may not be allowed to read the host's configuration: the defaults then have to do.
  if (!settings && config_files.empty()) return config::Settings{};
  return settings;
}

Result<Sending> Context::sending() const {
  MAIL_TRY(chosen, account());
  MAIL_TRY(settings, host_settings());
  MAIL_TRY(found, way(chosen));
  return Sending{chosen, found, local_domain(settings)};
}

Result<Way> Context::way(const AccountSettings& account) const {
  MAIL_TRY(settings, host_settings());
  Way way;
  way.host_name = config::host_name(settings);
  way.spool_directory = spool.empty() ? settings.spool.directory : spool;
  if (account.submission.empty() || account.submission == "spool" || !spool.empty()) return way;
  MAIL_TRY(parsed, parse_url(account.submission));
  if (parsed.scheme != Url::Scheme::smtp)
    return fail(Error::Kind::syntax, "mail is sent by submission(s):// or smtp(s)://, or through the spool");
  auto password = account.submission_password.given() ? account.submission_password : account.password;
  if (parsed.user.empty() && (password.given() || account.oauth_token.given())) parsed.user = account.address;
  way.submission = Login{parsed, password, account.oauth_token, account.ca_file};
  return way;
}

std::string local_domain(const config::Settings& settings) {
  const auto domains = config::local_domains(settings);
  return domains.empty() ? config::host_name(settings) : domains.front();
}

Result<std::vector<message::Address>> Context::from(const AccountSettings& account, const std::string& given) const {
  MAIL_TRY(settings, host_settings());
  const auto domain = local_domain(settings);
  if (!given.empty()) return parse_typed_addresses(given, domain);
  message::Address address;
  address.display_name = account.display_name;
  if (!account.address.empty()) {
    MAIL_TRY(parsed, parse_typed_addresses(account.address, domain));
    parsed.front().display_name =
        parsed.front().display_name.empty() ? account.display_name : parsed.front().display_name;
    return std::move(parsed);
  }
  address.local_part = system_user().name;
  address.domain = domain;
  if (address.display_name.empty()) address.display_name = system_user().full_name;
  return std::vector<message::Address>{address};
}

std::string Context::outbox_path() const { return outbox.empty() ? default_outbox_path() : outbox; }

}  // namespace mail::mua
