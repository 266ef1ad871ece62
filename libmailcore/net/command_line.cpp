#include "net/command_line.h"

#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "config/load.h"
#include "net/daemon.h"
#include "net/tls_context.h"

namespace mail::net {

CommandLine::CommandLine(std::string program, const std::string& description)
    : app(description), program_(std::move(program)) {
  add_files(app);
  app.add_flag("--check", check_, "Check the configuration, report all mistakes, and leave");
  app.set_version_flag("--version", program_ + " (Relais) " RELAIS_VERSION);
}

void CommandLine::add_files(CLI::App& command) {
  command.add_option("-c,--config", configs_, concat({"Configuration file, ", config::kDefaultPath, " by default"}))
      ->type_name("FILE");
  command.add_option("--overlay", overlays_, "File whose keys win over the former ones; may be given several times")
      ->type_name("FILE");
}

void CommandLine::add_inetd(CLI::App& command, std::vector<std::string> services, const std::string& text) {
  services_ = std::move(services);
  const auto known = [this](const std::string& word) -> std::string {
    if (word.empty() || std::ranges::find(services_, word) != services_.end()) return {};
    std::string all;
    for (const auto& service : services_)
      all += concat({all.empty() ? "" : &service == &services_.back() ? " and " : ", ", service});
    return concat({word, ": only ", all, " are known"});
  };
  inetd_ = command.add_option("--inetd", service_, "Serve the one connection on descriptor 0; " + text)
               ->expected(0, 1)
               ->type_name("[SERVICE]")
               ->check(known);
}

std::optional<int> CommandLine::parse(int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  if (service_.empty() && !services_.empty()) service_ = services_.front();
  return {};
}

int CommandLine::run_check() const {
  auto all = checks_;
  all.insert(all.begin(), [](const config::Settings& settings) -> std::vector<std::string> {
    if (settings.tls.certificates.empty()) return {};
    const auto context = TlsContext::server(settings.tls);
    if (!context) return {context.error().text};
    return {};
  });
  return config::check(files(), all);
}

tl::expected<config::Settings, int> CommandLine::start(int argc, char** argv) {
  if (const auto status = parse(argc, argv)) return tl::unexpected(*status);
  if (check_) return tl::unexpected(run_check());
  auto settings = load();
  if (!settings) return tl::unexpected<int>(kExitConfig);
  return std::move(*settings);
}

std::vector<std::string> CommandLine::files() const {
  auto all = configs_;
  if (all.empty()) all.emplace_back(config::kDefaultPath);
  all.insert(all.end(), overlays_.begin(), overlays_.end());
  return all;
}

std::vector<std::string> CommandLine::files_there() const {
  auto all = files();
  if (configs_.empty() && access(all.front().c_str(), F_OK) != 0) all.erase(all.begin());
  return all;
}

std::optional<config::Settings> CommandLine::load() const { return config::load_or_complain(program_, files()); }

std::vector<Listen> listeners_of(const std::string& inetd_service, const std::string& name,
                                 const config::Endpoints& addresses, const std::string& tls_name,
                                 const config::Endpoints& tls_addresses) {
  if (!inetd_service.empty())
    return {{.endpoint = {}, .name = inetd_service, .implicit_tls = inetd_service == tls_name}};
  std::vector<Listen> out;
  for (const auto& address : addresses) out.push_back({.endpoint = address, .name = name});
  for (const auto& address : tls_addresses)
    out.push_back({.endpoint = address, .name = tls_name, .implicit_tls = true});
  if (out.empty() && Server::started_by_systemd_socket())
    return {{.endpoint = {}, .name = name}, {.endpoint = {}, .name = tls_name, .implicit_tls = true}};
  return out;
}

}  // namespace mail::net
