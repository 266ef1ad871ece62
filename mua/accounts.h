// Who is writing and where mail is: ~/.config/relais/mua.toml, the command line, and relais.toml for the spool.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sasl/password.h"

namespace mail::mua {

/// imap://, imaps://, pop3://, pop3s://, smtp:// and submission:// (STARTTLS), submissions:// (TLS), maildir:/path or a
/// plain path.
struct Url {
  enum class Scheme : std::uint8_t { maildir, imap, pop3, smtp } scheme = Scheme::maildir;
  enum class Tls : std::uint8_t { none, starttls, implicit } tls = Tls::none;
  std::string user;  ///< Percent-decoded; empty where there is none.
  std::string host;
  std::uint16_t port = 0;
  std::string path;  ///< Of a Maildir.
};
/// Plain imap://, pop3:// and smtp:// mean STARTTLS, required; only with "?tls=no", and only to loopback, no TLS at
/// all. syntax names what is wrong.
Result<Url> parse_url(std::string_view text);

/// A program that prints a secret: argv, never a shell.
struct SecretSource {
  std::vector<std::string> command;
  std::string file;
  bool given() const { return !command.empty() || !file.empty(); }
};
/// The first line of what it prints.
Result<sasl::Secret> read_secret(const SecretSource& source);

struct AccountSettings {
  std::string name;          ///< Of the table: accounts.NAME.
  std::string display_name;  ///< For From.
  std::string address;       ///< local-part@domain.
  std::string store;         ///< URL or path; empty: none.
  std::string submission;    ///< URL; empty: the spool.
  SecretSource password;
  SecretSource submission_password;  ///< Not given: as `password`.
  SecretSource oauth_token;
  std::string ca_file;
  std::string sent;       ///< Where sent messages are kept, empty: nowhere.
  std::string signature;  ///< Put below what is written in an editor.
};

struct Accounts {
  std::vector<AccountSettings> accounts;
  std::string default_name;
  /// The one of that name, or the default one where `name` is empty; without any file an account of the system's user.
  Result<AccountSettings> choose(std::string_view name) const;
};
/// A missing file at the default path is no error. Problems are one per line, with file and line.
Result<Accounts> load_accounts(const std::string& path);
Result<Accounts> parse_accounts(std::string_view toml, const std::string& file);
/// $XDG_CONFIG_HOME/relais/mua.toml
std::string default_accounts_path();
/// $XDG_STATE_HOME/relais/outbox
std::string default_outbox_path();

/// The user who runs this: log-in name and full name of the passwd entry.
struct SystemUser {
  std::string name;
  std::string full_name;
  std::string home;
};
SystemUser system_user();

}  // namespace mail::mua
