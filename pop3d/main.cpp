// pop3d: options and wiring.
#include <CLI/CLI.hpp>
#include <iostream>

#include "config/load.h"
#include "net/daemon.h"
#include "net/service.h"
#include "pop3d/server.h"

int main(int argc, char** argv) {
  using namespace mail;
  CLI::App app{"pop3d: serves mailboxes by POP3 (RFC 1939). See pop3d(8)."};
  std::vector<std::string> files, overlays;
  bool check = false;
  std::string inetd;
  app.add_option("-c,--config", files, "Configuration file, /etc/relais/relais.toml by default")->type_name("FILE");
  app.add_option("--overlay", overlays, "File whose keys win over the former ones; may be given several times")
      ->type_name("FILE");
  app.add_flag("--check", check, "Check the configuration, report all mistakes, and leave");
  auto* inetd_option =
      app.add_option("--inetd", inetd,
                     "Serve the one connection on descriptor 0; --inetd=pop3s: under TLS from the start")
          ->expected(0, 1)
          ->type_name("[SERVICE]");
  app.set_version_flag("--version", "pop3d (Relais) " RELAIS_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? net::kExitOk : net::kExitUsage;
  }
  if (!inetd.empty() && inetd != "pop3" && inetd != "pop3s") {
    std::cerr << "pop3d: --inetd=" << inetd << ": only pop3 and pop3s are known\n";
    return net::kExitUsage;
  }
  if (files.empty()) files.emplace_back(config::kDefaultPath);
  files.insert(files.end(), overlays.begin(), overlays.end());
  if (check) return config::check(files);
  auto settings = config::load_or_complain("pop3d", files);
  if (!settings) return net::kExitConfig;

  net::ServiceOptions options;
  options.program = "pop3d";
  options.inetd = inetd_option->count() > 0;
  if (options.inetd) {
    options.listeners.push_back(
        {.endpoint = {}, .name = inetd == "pop3s" ? "pop3s" : "pop3", .implicit_tls = inetd == "pop3s"});
  } else {
    for (const auto& endpoint : settings->pop3.listen)
      options.listeners.push_back({.endpoint = endpoint, .name = "pop3"});
    for (const auto& endpoint : settings->pop3.tls_listen)
      options.listeners.push_back({.endpoint = endpoint, .name = "pop3s", .implicit_tls = true});
  }
  options.settings = std::move(*settings);
  auto service = net::Service::open(std::move(options));
  if (!service) return service.error();
  auto server = pop3d::Pop3Server::open(**service);
  if (!server) {
    std::cerr << "pop3d: " << server.error().text << "\n";
    return net::exit_code(server.error());
  }
  (*service)->on_reload([&] { (*server)->reload(); });
  const int status = (*service)->run([&](std::unique_ptr<net::Connection> connection, const net::Listen& listen) {
    return (*server)->session(std::move(connection), listen);
  });
  (*server)->finish();
  return status;
}
