// mta: options and wiring. See mta(8).
#include <CLI/CLI.hpp>
#include <iostream>

#include "config/load.h"
#include "mta/queue/commands.h"
#include "mta/relay/run.h"
#include "mta/serve/run.h"
#include "mta/supervisor.h"
#include "net/daemon.h"
#include "net/server.h"
#include "route/from_settings.h"

namespace {

using namespace mail;

struct Files {
  std::vector<std::string> config, overlays;
  std::vector<std::string> all() const {
    auto files = config;
    if (files.empty()) files.emplace_back(config::kDefaultPath);
    files.insert(files.end(), overlays.begin(), overlays.end());
    return files;
  }
  /// As arguments for a child.
  std::vector<std::string> arguments(const std::string& command) const {
    std::vector<std::string> to{command};
    for (const auto& file : config) to.insert(to.end(), {"-c", file});
    for (const auto& file : overlays) to.insert(to.end(), {"--overlay", file});
    return to;
  }
};

void add_files(CLI::App& app, Files& files) {
  app.add_option("-c,--config", files.config, "Configuration file, /etc/relais/relais.toml by default")
      ->type_name("FILE");
  app.add_option("--overlay", files.overlays, "File whose keys win over the former ones; may be given several times")
      ->type_name("FILE");
}

int serve(const Files& files, const mta::ServeOptions& options) {
  auto settings = config::load_or_complain("mta", files.all());
  if (!settings) return net::kExitConfig;
  return mta::serve(std::move(*settings), options);
}

int relay_mail(const Files& files) {
  auto settings = config::load_or_complain("mta", files.all());
  if (!settings) return net::kExitConfig;
  return relay::run(std::move(*settings));
}

/// The configuration, then the maps that it names.
int check_all(const Files& files) {
  if (const int code = config::check(files.all()); code != net::kExitOk) return code;
  const auto settings = config::load_or_complain("mta", files.all());
  if (!settings) return net::kExitConfig;
  const auto problems = route::map_problems(*settings);
  for (const auto& problem : problems) std::cerr << problem << "\n";
  return problems.empty() ? net::kExitOk : net::kExitConfig;
}

int supervise(const Files& files) {
  const auto settings = config::load_or_complain("mta", files.all());
  if (!settings) return net::kExitConfig;
  net::prepare_process();
  if (auto opened = net::open_log("mta", settings->log); !opened) {
    std::cerr << "mta: " << opened.error().text << "\n";
    return net::kExitConfig;
  }
  return mta::supervise({files.arguments("serve"), files.arguments("relay")});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "mta: receives, queues and relays mail. Without a command: serve and relay, each in a process of its own. See "
      "mta(8)."};
  Files files;
  bool check = false;
  mta::ServeOptions serving;
  add_files(app, files);
  app.add_flag("--check", check, "Check the configuration, report all mistakes, and leave");
  app.set_version_flag("--version", "mta (Relais) " RELAIS_VERSION);
  app.require_subcommand(0, 1);
  auto* const serve_command =
      app.add_subcommand("serve", "Talk SMTP to the network (ports 25, 587, 465) and write the spool");
  add_files(*serve_command, files);
  auto* const inetd =
      serve_command
          ->add_option(
              "--inetd", serving.service,
              "Serve the one connection on descriptor 0; --inetd=submission, --inetd=submissions: as that service")
          ->expected(0, 1)
          ->type_name("[SERVICE]");
  auto* const relay_command =
      app.add_subcommand("relay", "Take mail out of the spool: to other hosts, and to spool/local");
  add_files(*relay_command, files);
  int code = net::kExitOk;
  queue::add_commands(
      app, [&files] { return config::load_or_complain("mta", files.all()); }, code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? net::kExitOk : net::kExitUsage;
  }
  serving.inetd = inetd->count() > 0;
  if (serving.service.empty()) serving.service = "smtp";
  if (serving.service != "smtp" && serving.service != "submission" && serving.service != "submissions") {
    std::cerr << "mta: --inetd=" << serving.service << ": only smtp, submission and submissions are known\n";
    return net::kExitUsage;
  }
  if (app.got_subcommand("queue") || app.got_subcommand("trace") || app.got_subcommand("explain")) return code;
  if (check) return check_all(files);
  if (*serve_command || net::Server::started_by_inetd()) return serve(files, serving);
  if (*relay_command) return relay_mail(files);
  return supervise(files);
}
