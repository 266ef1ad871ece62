#include "mta/queue/explain.h"

#include "base/overloaded.h"
#include "base/strings.h"
#include "directory/from_settings.h"
#include "mta/relay/targets.h"
#include "net/daemon.h"
#include "net/resolver.h"
#include "route/from_settings.h"

namespace mail::queue {

namespace {

std::string_view tls_word(relay::TlsMode mode) {
  switch (mode) {
    case relay::TlsMode::none:
      return "never TLS";
    case relay::TlsMode::opportunistic:
      return "TLS where it is offered, whatever the certificate";
    case relay::TlsMode::required:
      return "TLS required, with a certificate that verifies";
    case relay::TlsMode::implicit:
      return "TLS from the first octet, with a certificate that verifies";
  }
  return {};
}

std::string rule_of(const config::Settings& settings, const relay::NextHop& hop) {
  if (hop.by_mx) return concat({"no route and no smart host: by MX of ", hop.host});
  for (const auto& [domain, value] : settings.relay.routes)
    if (value == hop.key) return concat({"[relay.routes] \"", domain, "\" = \"", value, "\""});
  if (!settings.relay.smart_host.empty() && hop.key == settings.relay.smart_host)
    return concat({"relay.smart_host = \"", settings.relay.smart_host, "\""});
  return concat({"the address literal ", hop.host});
}

std::string hosts_of(const config::Settings& settings, const relay::NextHop& hop, int& code) {
  auto loop = net::Loop::open();
  if (!loop) return loop.error().text + "\n";
  auto resolver = net::CaresResolver::open(**loop, settings.dns);
  if (!resolver) return resolver.error().text + "\n";
  relay::TargetRules rules;
  rules.own_name = config::host_name(settings);
  rules.private_targets = settings.relay.private_targets;
  rules.ipv6 = settings.relay.ipv6;
  std::string text;
  bool done = false;
  const relay::TargetLookup lookup(**loop, **resolver, hop, rules, [&](relay::Targets targets) {
    done = true;
    if (!targets) {
      code = targets.error().temporary() ? net::kExitTemporary : net::kExitNoUser;
      text = concat({"  but: ", targets.error().line(), "\n"});
      return;
    }
    for (const auto& host : *targets)
      text += concat({"  host ", host.host_name, " at ", host.address.to_string(),
                      hop.by_mx ? concat({", preference ", decimal(host.preference)}) : "", "\n"});
  });
  while (!done) (*loop)->run_once(std::chrono::seconds(1));
  return text;
}

}  // namespace

Explanation explain(const config::Settings& settings, const std::string& address) {
  auto users = directory::Directory::open(directory::options_from(settings));
  if (!users) return {users.error().text + "\n", net::kExitConfig};
  const route::Router router(**users, route::options_from(settings));
  const auto route = router.route(address);
  if (!route) return {concat({address, ": cannot be said now: ", route.error().text, "\n"}), net::kExitTemporary};
  if (route->refusal)
    return {concat({address, ": refused: ", decimal(route->refusal->code), " ", route->refusal->enhanced, " ",
                    route->refusal->text, "\n"}),
            net::kExitNoUser};
  Explanation result;
  result.text = concat({address, route->expanded ? ": an alias of" : ":", "\n"});
  for (const auto& target : route->targets) {
    result.text += concat({"<", target.forward_path, ">: "});
    std::visit(overloaded{
                   [&](const route::LocalMailbox& m) {
                     result.text += concat({"local, mailbox of user ", m.user,
                                            m.detail.empty() ? "" : concat({", detail ", m.detail}), "\n"});
                   },
                   [&](const route::Remote& remote) {
                     const auto hop = relay::next_hop(settings.relay, remote.domain);
                     result.text += concat({"remote, ", remote.domain, "\n  rule: ", rule_of(settings, hop), "\n  ",
                                            hop.lmtp ? "LMTP, " : "", "port ", decimal(hop.port), ", ",
                                            tls_word(hop.tls), hop.authenticate ? ", with log-in" : "", "\n"});
                     result.text += hosts_of(settings, hop, result.code);
                   },
                   [&](const route::Pipe& pipe) {
                     result.text += concat({"local, given to the program ", join(pipe.argv, " "), "\n"});
                   },
                   [&](const route::File& file) {
                     result.text += concat({"local, appended to ", file.path, "\n"});
                   },
                   [&](const route::Discard&) { result.text += "discarded\n"; },
               },
               target.destination);
  }
  if (!route->owner.empty()) result.text += concat({"errors go to ", route->owner, "\n"});
  return result;
}

}  // namespace mail::queue
