#include "mta/queue/explain.h"

#include <algorithm>

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

std::string_view family_word(relay::Family family) {
  switch (family) {
    case relay::Family::ipv6_first:
      return {};
    case relay::Family::ipv4_first:
      return ", IPv4 first";
    case relay::Family::ipv6_only:
      return ", IPv6 only";
    case relay::Family::ipv4_only:
      return ", IPv4 only";
  }
  return {};
}

std::string remote_text(const config::Settings& settings, const relay::NextHop& hop) {
  const auto& source =
      hop.transport && !hop.transport->source.empty() ? hop.transport->source : settings.relay.source_address;
  return concat({hop.lmtp ? "LMTP, " : "", hop.unix_path.empty() ? "port " + decimal(hop.port) : hop.unix_path, ", ",
                 tls_word(hop.tls), hop.authenticate() ? ", logs in as " + hop.transport->auth_user : "",
                 source.empty() ? "" : ", from " + join(source, " or "), family_word(hop.family), "\n"});
}

std::string dane_text(const relay::Dane* dane) {
  if (dane == nullptr) return {};
  if (dane->records.empty()) return ", TLS required by DANE, whatever the certificate: no TLSA record that is usable";
  return concat({", TLS required by DANE: ", decimal(dane->records.size()), " TLSA at ", dane->base});
}

std::string hosts_of(const config::Settings& settings, const relay::NextHop& hop, int& code) {
  auto loop = net::Loop::open();
  if (!loop) return loop.error().text + "\n";
  auto resolver = net::CaresResolver::open(**loop, settings.dns);
  if (!resolver) return resolver.error().text + "\n";
  relay::TargetRules rules;
  rules.own_name = config::host_name(settings);
  rules.private_targets = settings.relay.private_targets;
  net::WorkerPool workers(1);
  relay::StsPolicies policies({.loop = **loop,
                               .resolver = **resolver,
                               .workers = workers,
                               .settings = settings.relay,
                               .tls = relay::client_tls(settings.tls),
                               .directory = settings.spool.directory + "/mta-sts",
                               .keep = false});
  // Asked of both at once: the second one joins what is under way for the first.
  std::string policy_text, text;
  std::unique_ptr<relay::StsPolicies::Question> question;
  int open = 1;
  if (hop.mta_sts && hop.host.find('.') != std::string::npos) {
    rules.sts = &policies;
    ++open;
    question = policies.ask(hop.host, [&](std::optional<relay::StsPolicy> policy) {
      --open;
      if (policy)
        policy_text =
            concat({"  MTA-STS policy, mode ", to_string(policy->mode), ": hosts ", join(policy->mx, ", "), "\n"});
    });
  }
  const relay::TargetLookup lookup(**loop, **resolver, hop, rules, [&](relay::Targets targets) {
    --open;
    if (!targets) {
      code = targets.error().temporary() ? net::kExitTemporary : net::kExitNoUser;
      text = concat({"  but: ", targets.error().line(), "\n"});
      return;
    }
    for (const auto& host : *targets)
      text += concat({"  host ", host.host_name, " at ", host.address.to_string(),
                      hop.by_mx ? concat({", preference ", decimal(host.preference)}) : "", dane_text(host.dane.get()),
                      host.sts == relay::StsPolicy::Mode::enforce ? ", TLS required by MTA-STS" : "", "\n"});
  });
  while (open > 0) (*loop)->run_once(std::chrono::seconds(1));
  return policy_text + text;
}

/// What the rewriting rules make of the sender, and who gets a copy.
std::string rewriting_of(const route::Router& router, const std::string& address, const From& from) {
  const auto* rewriting = router.rewriting();
  if (rewriting == nullptr) return {};
  const auto sender = rewriting->sender(from.sender);
  if (!sender) return concat({"the sender cannot be looked up now: ", sender.error().text, "\n"});
  std::string text;
  if (*sender != from.sender) text += concat({"the sender becomes ", *sender, "\n"});
  const auto copies = rewriting->copies(*sender, {address});
  if (!copies) return concat({text, "copies cannot be looked up now: ", copies.error().text, "\n"});
  for (const auto& copy : *copies) text += concat({"a copy goes to ", copy, "\n"});
  return text;
}

}  // namespace

Explanation explain(const config::Settings& settings, const std::string& address, const From& from) {
  auto users = directory::Directory::open(directory::options_from(settings));
  if (!users) return {users.error().text + "\n", net::kExitConfig};
  const route::Router router(**users, route::options_from(settings));
  std::vector<std::string> rules;
  const auto route = router.route(address, {.sender = {from.sender, from.account}, .entering = true, .why = &rules});
  if (!route) return {concat({address, ": cannot be said now: ", route.error().text, "\n"}), net::kExitTemporary};
  Explanation result;
  for (const auto& rule : rules) result.text += concat({"  rule: ", rule, "\n"});
  if (route->refusal)
    return {concat({address, ": refused: ", decimal(route->refusal->code), " ", route->refusal->enhanced, " ",
                    route->refusal->text, "\n", result.text}),
            net::kExitNoUser};
  result.text = concat({address, route->expanded ? ": an alias of" : ":", "\n", result.text});
  for (const auto& target : route->targets) {
    result.text += concat({"<", target.forward_path, ">: "});
    std::visit(overloaded{
                   [&](const route::LocalMailbox& m) {
                     result.text += concat({"local, mailbox of user ", m.user,
                                            m.detail.empty() ? "" : concat({", detail ", m.detail}), "\n"});
                   },
                   [&](const route::Remote& remote) {
                     const auto hop = relay::next_hop(settings.relay, remote);
                     result.text += concat({"remote, ", remote.domain, hop.by_mx ? "" : ", to the host of the route",
                                            "\n  ", remote_text(settings, hop)});
                     result.text += hosts_of(settings, hop, result.code);
                   },
                   [&](const route::Pipe& pipe) {
                     const bool as = pipe.transport && !pipe.transport->run_as.empty();
                     result.text += concat({"local, given to the program ", join(pipe.argv, " "),
                                            as ? ", as user " + pipe.transport->run_as : "", "\n"});
                   },
                   [&](const route::File& file) {
                     result.text += concat({"local, appended to ", file.path, "\n"});
                   },
                   [&](const route::Discard&) { result.text += "discarded\n"; },
               },
               target.destination);
  }
  const auto leads_away = [](const route::Target& target) {
    return std::holds_alternative<route::Remote>(target.destination);
  };
  if (!route->ours && std::ranges::any_of(route->targets, leads_away))
    result.text += "taken from users and smtp.relay_networks only\n";
  result.text += rewriting_of(router, address, from);
  if (!route->owner.empty()) result.text += concat({"errors go to ", route->owner, "\n"});
  return result;
}

}  // namespace mail::queue
