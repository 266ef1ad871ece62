// imapd: options and wiring.
#include <CLI/CLI.hpp>
#include <iostream>

#include "config/load.h"
#include "imapd/server.h"
#include "net/daemon.h"
#include "net/service.h"

int main(int argc, char** argv) {
  using namespace mail;
  CLI::App app{"imapd: serves mailboxes by IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051). See imapd(8)."};
  std::vector<std::string> files, overlays;
  bool check = false;
  std::string inetd, preauth;
  app.add_option("-c,--config", files, "Configuration file, /etc/relais/relais.toml by default")->type_name("FILE");
  app.add_option("--overlay", overlays, "File whose keys win over the former ones; may be given several times")
      ->type_name("FILE");
  app.add_flag("--check", check, "Check the configuration, report all mistakes, and leave");
  auto* inetd_option =
      app.add_option("--inetd", inetd,
                     "Serve the one connection on descriptor 0; --inetd=imaps: under TLS from the start")
          ->expected(0, 1)
          ->type_name("[SERVICE]");
  app.add_option("--preauth", preauth,
                 "Serve USER on standard input and output without a login: for `ssh host imapd --preauth USER`")
      ->type_name("USER");
  app.set_version_flag("--version", "imapd (Relais) " RELAIS_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? net::kExitOk : net::kExitUsage;
  }
  if (!inetd.empty() && inetd != "imap" && inetd != "imaps") {
    std::cerr << "imapd: --inetd=" << inetd << ": only imap and imaps are known\n";
    return net::kExitUsage;
  }
  if (files.empty()) files.emplace_back(config::kDefaultPath);
  files.insert(files.end(), overlays.begin(), overlays.end());
  if (check) return config::check(files);
  auto settings = config::load_or_complain("imapd", files);
  if (!settings) return net::kExitConfig;

  net::ServiceOptions options;
  options.program = "imapd";
  options.inetd = inetd_option->count() > 0 || !preauth.empty();
  if (options.inetd) {
    options.listeners.push_back(
        {.endpoint = {}, .name = inetd == "imaps" ? "imaps" : "imap", .implicit_tls = inetd == "imaps"});
  } else {
    for (const auto& endpoint : settings->imap.listen)
      options.listeners.push_back({.endpoint = endpoint, .name = "imap"});
    for (const auto& endpoint : settings->imap.tls_listen)
      options.listeners.push_back({.endpoint = endpoint, .name = "imaps", .implicit_tls = true});
  }
  options.settings = std::move(*settings);
  auto service = net::Service::open(std::move(options));
  if (!service) return service.error();
  auto server = imapd::ImapServer::open(**service, preauth);
  if (!server) {
    std::cerr << "imapd: " << server.error().text << "\n";
    return net::exit_code(server.error());
  }
  (*service)->on_reload([&] { (*server)->reload(); });
  const int status = (*service)->run([&](std::unique_ptr<net::Connection> connection, const net::Listen&) {
    return (*server)->session(std::move(connection));
  });
  (*server)->finish();
  return status;
}
