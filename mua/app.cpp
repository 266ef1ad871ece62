// mua's own command line.
#include <sysexits.h>

#include <CLI/CLI.hpp>

#include "base/strings.h"
#include "mua/context.h"
#include "mua/text.h"

namespace mail::mua {

void add_common_options(CLI::App& app, Context& context) {
  app.add_option("-A,--account", context.account_name, "Account of mua.toml; the default one without");
  app.add_option("-u,--url", context.url, "Where to read: a Maildir, imap(s)://USER@HOST or pop3(s)://USER@HOST");
  app.add_option("-f,--folder", context.folder, "Folder")->capture_default_str();
  app.add_option("--via", context.via, "Where to send: submission(s)://USER@HOST, smtp(s)://HOST, or spool");
  app.add_option("--spool", context.spool, "Spool directory, instead of relais.toml's");
  app.add_option("--outbox", context.outbox, "Where messages wait while no host takes them");
  app.add_option("--accounts", context.accounts_file, "Instead of ~/.config/relais/mua.toml");
  app.add_option("-c,--config", context.config_files, "relais.toml of this host (repeatable, later ones win)")
      ->allow_extra_args(false);
  app.add_option("--password-command", context.password_command,
                 "Program that prints the password; its words are split at blanks");
  app.add_option("--password-file", context.password_file, "File whose first line is the password");
  app.add_option("--ca-file", context.ca_file, "Certificate authorities to trust (PEM), instead of the system's");
  app.add_flag("--json", context.json, "Print JSON");
}

int run_mua(int argc, char** argv) {
  CLI::App app("Reads, writes, searches and sends mail. mua(1) has the details.", "mua");
  app.set_version_flag("--version", "mua (Relais) " RELAIS_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  Context context;
  add_common_options(app, context);
  add_write_commands(app, context);
  add_read_commands(app, context);
  add_change_commands(app, context);
  add_tool_commands(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 says only that a subcommand is missing.
    const auto others = app.remaining();
    if (app.get_subcommands().empty() && !others.empty())
      return complain(concat({"there is no command \"", others.front(), "\"; mua --help lists them"}), EX_USAGE);
    return app.exit(error) == 0 ? 0 : EX_USAGE;
  }
  if (const int code = context.check(); code != 0) return code;
  return context.run();
}

}  // namespace mail::mua
