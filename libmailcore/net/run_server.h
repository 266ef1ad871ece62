// The life of a daemon that serves mailboxes, from its settings to its exit code.
#pragma once
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>

#include "net/service.h"

namespace mail::net {

/// Opens the service, then by open(service) the program's own server, and serves until SIGTERM. A `Server` has
/// session(connection) for a connection that came, reload() for SIGHUP and finish() for the end.
template <class Server>
int run_server(ServiceOptions options, const std::function<Result<std::unique_ptr<Server>>(Service&)>& open) {
  const auto program = options.program;
  auto service = Service::open(std::move(options));
  if (!service) return service.error();
  auto server = open(**service);
  if (!server) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), server.error().text.c_str());
    return exit_code(server.error());
  }
  (*service)->on_reload([&] { (*server)->reload(); });
  const int status = (*service)->run(
      [&](std::unique_ptr<Connection> connection, const Listen&) { return (*server)->session(std::move(connection)); });
  (*server)->finish();
  return status;
}

}  // namespace mail::net
