// What the command line chose: shared by all subcommands.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/settings.h"
#include "mua/accounts.h"
#include "mua/compose.h"
#include "mua/outgoing.h"
#include "mua/source.h"

namespace CLI {
class App;
}

namespace mail::mua {

/// What it takes to send.
struct Sending {
  AccountSettings account;
  Way way;
  std::string domain;  ///< local_domain()
};

struct Context {
  std::string accounts_file;
  std::string account_name;
  std::string url;  ///< Instead of the account's store.
  std::string folder = "INBOX";
  std::string via;    ///< Instead of the account's submission: a URL, or "spool".
  std::string spool;  ///< Instead of relais.toml's spool.directory.
  std::string outbox;
  std::string ca_file;
  std::string password_file;
  std::string password_command;  ///< Split at blanks.
  std::vector<std::string> config_files;
  bool json = false;
  std::function<int()> run;  ///< The chosen subcommand.
  bool needs_account = true;

  /// What is wrong with the options and mua.toml, before anything is done: says it; the exit code, else 0.
  int check() const;
  Result<AccountSettings> account() const;
  /// Opens the store and the folder.
  Result<std::unique_ptr<Source>> source(bool read_only) const;
  /// Opens the store, no folder.
  Result<std::unique_ptr<Source>> store() const;
  Result<config::Settings> host_settings() const;
  Result<Way> way(const AccountSettings& account) const;
  /// An error is one of the configuration.
  Result<Sending> sending() const;
  /// The From of what is written: --from, the account's address, or user@host.
  Result<std::vector<message::Address>> from(const AccountSettings& account, const std::string& given) const;
  std::string outbox_path() const;
};

/// Domain of addresses without one: the host's first local domain, else its name.
std::string local_domain(const config::Settings& settings);

/// Adds --account, --url and so on.
void add_common_options(CLI::App& app, Context& context);
void add_read_commands(CLI::App& app, Context& context);
void add_change_commands(CLI::App& app, Context& context);
void add_write_commands(CLI::App& app, Context& context);
void add_tool_commands(CLI::App& app, Context& context);

/// The whole program: mua, or sendmail, mail and mailx by argv[0].
int run_mua(int argc, char** argv);
int run_sendmail(int argc, char** argv);
int run_mailx(int argc, char** argv);

}  // namespace mail::mua
