// mta: options and wiring. See mta(8).
#include <iostream>

#include "directory/from_settings.h"
#include "mta/queue/commands.h"
#include "mta/relay/run.h"
#include "mta/serve/run.h"
#include "mta/supervisor.h"
#include "net/command_line.h"
#include "net/daemon.h"
#include "net/server.h"
#include "route/from_settings.h"

namespace {

using namespace mail;

int serve(const net::CommandLine& line) {
  auto settings = line.load();
  if (!settings) return net::kExitConfig;
  return mta::serve(std::move(*settings), {.inetd = line.inetd(), .service = line.service()});
}

int relay_mail(const net::CommandLine& line) {
  auto settings = line.load();
  if (!settings) return net::kExitConfig;
  return relay::run(std::move(*settings));
}

int supervise(const net::CommandLine& line, char** argv) {
  const auto settings = line.load();
  if (!settings) return net::kExitConfig;
  net::prepare_process();
  if (auto opened = net::open_log("mta", settings->log); !opened) {
    std::cerr << "mta: " << opened.error().text << "\n";
    return net::kExitConfig;
  }
  return mta::supervise({{"serve", [&line] { return serve(line); }}, {"relay", [&line] { return relay_mail(line); }}},
                        argv);
}

}  // namespace

int main(int argc, char** argv) {
  net::CommandLine line(
      "mta",
      "mta: receives, queues and relays mail. Without a command: serve and relay, each in a process of its own. See "
      "mta(8).");
  line.add_check(directory::file_problems);
  line.add_check(route::map_problems);
  auto& app = line.app;
  app.require_subcommand(0, 1);
  auto* const serve_command =
      app.add_subcommand("serve", "Talk SMTP to the network (ports 25, 587, 465) and write the spool");
  line.add_files(*serve_command);
  line.add_inetd(*serve_command, {"smtp", "submission", "submissions"},
                 "--inetd=submission, --inetd=submissions: as that service");
  auto* const relay_command =
      app.add_subcommand("relay", "Take mail out of the spool: to other hosts, and to spool/local");
  line.add_files(*relay_command);
  int code = net::kExitOk;
  queue::add_commands(
      app, [&line] { return line.load(); }, code);
  if (const auto status = line.parse(argc, argv)) return *status;
  if (app.got_subcommand("queue") || app.got_subcommand("trace") || app.got_subcommand("explain")) return code;
  if (line.check()) return line.run_check();
  if (*serve_command || net::Server::started_by_inetd()) return serve(line);
  if (*relay_command) return relay_mail(line);
  return supervise(line, argv);
}
