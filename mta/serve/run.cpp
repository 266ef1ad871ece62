#include "mta/serve/run.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "mta/serve/server.h"
#include "net/service.h"

namespace mail::mta {

int serve(config::Settings settings, const ServeOptions& options) {
  net::ServiceOptions to_open;
  to_open.program = "mta";
  to_open.listeners = listeners_of(settings);
  to_open.inetd = options.inetd || net::Server::started_by_inetd();
  if (to_open.inetd) {
    const auto tag = options.service == "submissions"  ? Service::submissions
                     : options.service == "submission" ? Service::submission
                                                       : Service::smtp;
    to_open.listeners = {{{}, options.service, tag == Service::submissions, static_cast<int>(tag)}};
  }
  const bool inetd = to_open.inetd;
  to_open.settings = std::move(settings);
  auto service = net::Service::open(std::move(to_open));
  if (!service) return service.error();
  auto server = SmtpServer::open(**service, inetd);
  if (!server) {
    log_event(LogLevel::error, "start-failed", {{"text", server.error().text}});
    if ((*service)->settings().log.target != "stderr") std::fprintf(stderr, "mta: %s\n", server.error().text.c_str());
    return net::exit_code(server.error());
  }
  (*service)->on_reload([&] { (*server)->reload(); });
  const int code = (*service)->run(
      [&](auto connection, const net::Listen& listen) { return (*server)->session(std::move(connection), listen); });
  // Sessions first, for they hold messages of the writer; then the writer, for its last answers are posted to the
  // loops.
  (*service)->end_sessions();
  server->reset();
  return code;
}

}  // namespace mail::mta
