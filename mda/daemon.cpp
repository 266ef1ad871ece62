#include "mda/daemon.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "base/log.h"
#include "base/strings.h"
#include "mda/environment.h"
#include "mda/lmtp.h"
#include "mda/local_queue.h"
#include "net/service.h"

namespace mail::mda {
namespace {

int complain(const Error& error) {
  log_event(LogLevel::error, "not_started", {{"text", error.text}});
  return net::exit_code(error);
}

}  // namespace

int run_daemon(const config::Settings& settings, const DaemonOptions& options) {
  net::ServiceOptions service_options{.program = "mda", .settings = settings, .inetd = options.inetd};
  service_options.keep_root = settings.mda.change_user && geteuid() == 0;
  auto endpoints = options.inetd ? config::Endpoints{config::Endpoint{}} : settings.lmtp.listen;
  if (!options.lmtp.empty()) {
    endpoints.clear();
    for (const auto& text : options.lmtp) {
      auto endpoint = config::Endpoint::parse(text);
      if (!endpoint)
        return std::fprintf(stderr, "mda: --lmtp %s: not an address:port or unix:/path\n", text.c_str()), 64;
      endpoints.push_back(std::move(*endpoint));
    }
  }
  // A socket of systemd needs no address here.
  if (endpoints.empty() && net::Server::started_by_systemd_socket()) endpoints.emplace_back();
  for (auto& endpoint : endpoints) service_options.listeners.push_back({endpoint, "lmtp", false, 0});
  service_options.no_listeners = endpoints.empty();
  service_options.settings.limits.connections = std::min(settings.limits.connections, settings.lmtp.connections);
  auto service = net::Service::open(std::move(service_options));
  if (!service) return service.error();

  const auto& settled = (*service)->settings();
  auto environment = Environment::open(settled, options.spool, {.config_paths = options.config_paths});
  if (!environment) return complain(environment.error());
  auto& e = **environment;
  std::optional<LocalQueue> queue;
  if (options.spool) {
    queue.emplace(settled, *e.spool, *e.agent, *e.writer, *e.done);
    if (const auto started = queue->start(); !started) return complain(started.error());
  }
  LmtpServer lmtp(**service, e, queue ? &*queue : nullptr);
  (*service)->on_reload([&e] {
    if (const auto status = e.users->reload(); !status)
      log_event(LogLevel::error, "users_not_reloaded", {{"text", status.error().text}});
  });
  const int code = (*service)->run([&lmtp](std::unique_ptr<net::Connection> connection, const net::Listen&) {
    return lmtp.session(std::move(connection));
  });
  if (queue) queue->stop();
  return code;
}

int run_once(const config::Settings& settings) {
  if (const auto dropped = settings.mda.change_user ? Status() : net::drop_privileges(settings.run); !dropped)
    return complain(dropped.error());
  auto environment = Environment::open(settings, true, {});
  if (!environment) return complain(environment.error());
  auto& e = **environment;
  LocalQueue queue(settings, *e.spool, *e.agent, *e.writer, *e.done);
  const auto left = queue.run_once();
  if (!left) return complain(left.error());
  return *left == 0 ? 0 : net::kExitTemporary;
}

}  // namespace mail::mda
