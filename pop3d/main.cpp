// pop3d: options and wiring.
#include "directory/from_settings.h"
#include "net/command_line.h"
#include "net/run_server.h"
#include "pop3d/server.h"

int main(int argc, char** argv) {
  using namespace mail;
  net::CommandLine line("pop3d", "pop3d: serves mailboxes by POP3 (RFC 1939). See pop3d(8).");
  line.add_inetd(line.app, {"pop3", "pop3s"}, "--inetd=pop3s: under TLS from the start");
  line.add_check(directory::file_problems);
  auto settings = line.start(argc, argv);
  if (!settings) return settings.error();

  net::ServiceOptions options{.program = "pop3d", .inetd = line.inetd()};
  options.listeners = net::listeners_of(options.inetd ? line.service() : "", "pop3", settings->pop3.listen, "pop3s",
                                        settings->pop3.tls_listen);
  options.settings = std::move(*settings);
  return net::run_server<pop3d::Pop3Server>(std::move(options),
                                            [](net::Service& service) { return pop3d::Pop3Server::open(service); });
}
