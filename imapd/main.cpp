// imapd: options and wiring.
#include "directory/from_settings.h"
#include "imapd/server.h"
#include "net/command_line.h"
#include "net/run_server.h"

int main(int argc, char** argv) {
  using namespace mail;
  net::CommandLine line("imapd",
                        "imapd: serves mailboxes by IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051). See imapd(8).");
  line.add_inetd(line.app, {"imap", "imaps"}, "--inetd=imaps: under TLS from the start");
  std::string preauth;
  line.app
      .add_option("--preauth", preauth,
                  "Serve USER on standard input and output without a login: for `ssh host imapd --preauth USER`")
      ->type_name("USER");
  line.add_check(directory::file_problems);
  auto settings = line.start(argc, argv);
  if (!settings) return settings.error();

  net::ServiceOptions options{.program = "imapd", .inetd = line.inetd() || !preauth.empty()};
  options.listeners = net::listeners_of(options.inetd ? line.service() : "", "imap", settings->imap.listen, "imaps",
                                        settings->imap.tls_listen);
  options.settings = std::move(*settings);
  return net::run_server<imapd::ImapServer>(
      std::move(options), [&](net::Service& service) { return imapd::ImapServer::open(service, preauth); });
}
