// What the command lines of the programs have in common, by CLI11: the files of the configuration, --check, --version,
// --inetd.
//
//   net::CommandLine line("pop3d", "pop3d: serves mailboxes by POP3 (RFC 1939). See pop3d(8).");
//   line.add_inetd(line.app, {"pop3", "pop3s"}, "--inetd=pop3s: under TLS from the start");
//   auto settings = line.start(argc, argv);
//   if (!settings) return settings.error();
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "config/load.h"
#include "net/server.h"

namespace mail::net {

class CommandLine {
 public:
  /// With -c/--config, --overlay, --check and --version.
  CommandLine(std::string program, const std::string& description);

  CLI::App app;

  /// -c/--config and --overlay for a subcommand as well.
  void add_files(CLI::App& command);
  /// --inetd[=SERVICE], SERVICE being one of `services`, the first unless named; `text` goes on in the help.
  void add_inetd(CLI::App& command, std::vector<std::string> services, const std::string& text);

  /// Nothing, or the status to leave with: --help and --version have been answered, a mistake has been said.
  std::optional<int> parse(int argc, char** argv);
  /// What --check looks at beside the configuration and its certificates; call before start().
  void add_check(config::FurtherCheck check) { checks_.push_back(std::move(check)); }
  /// Does what --check says; the status to leave with.
  int run_check() const;
  /// parse(), --check, and the settings; else the status to leave with.
  tl::expected<config::Settings, int> start(int argc, char** argv);

  bool check() const { return check_; }
  bool inetd() const { return inetd_ != nullptr && inetd_->count() > 0; }
  const std::string& service() const { return service_; }
  /// All files in the order in which they count; the default one where none is named by --config.
  std::vector<std::string> files() const;
  /// For a program that works without any: the default one only where it exists.
  std::vector<std::string> files_there() const;
  /// The settings; nothing when mistakes have been said on standard error: leave with kExitConfig.
  std::optional<config::Settings> load() const;

 private:
  std::string program_;
  std::vector<std::string> configs_, overlays_, services_;
  std::string service_;
  std::vector<config::FurtherCheck> checks_;
  CLI::Option* inetd_ = nullptr;
  bool check_ = false;
};

/// The listeners of a protocol that has a service in clear text, with STARTTLS, and one under TLS from the start: one
/// for each address, or alone that of `inetd_service` where there is such a word. Without any address both by their
/// names, for sockets of systemd.
std::vector<Listen> listeners_of(const std::string& inetd_service, const std::string& name,
                                 const config::Endpoints& addresses, const std::string& tls_name,
                                 const config::Endpoints& tls_addresses);

}  // namespace mail::net
