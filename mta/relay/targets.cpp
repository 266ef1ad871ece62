#include "mta/relay/targets.h"

#include <algorithm>
#include <random>

#include "base/log.h"
#include "base/strings.h"
#include "smtp/path.h"

namespace mail::relay {

std::optional<TlsMode> parse_tls_mode(std::string_view word) {
  if (word == "none") return TlsMode::none;
  if (word == "opportunistic") return TlsMode::opportunistic;
  if (word == "required") return TlsMode::required;
  if (word == "implicit") return TlsMode::implicit;
  return std::nullopt;
}

namespace {

Family family_of(const config::Relay& settings, const config::Transport* transport) {
  const std::string& word =
      transport != nullptr && !transport->family.empty() ? transport->family : settings.address_family;
  if (word == "ipv4-only" || !settings.ipv6) return Family::ipv4_only;
  if (word == "ipv6-only") return Family::ipv6_only;
  return word == "ipv4" ? Family::ipv4_first : Family::ipv6_first;
}

}  // namespace

NextHop next_hop(const config::Relay& settings, const route::Remote& remote) {
  NextHop hop;
  const auto* transport = remote.transport.get();
  hop.transport = remote.transport;
  hop.family = family_of(settings, transport);
  hop.tls = parse_tls_mode(transport != nullptr && !transport->tls.empty() ? transport->tls : settings.tls)
                .value_or(TlsMode::opportunistic);
  hop.dane = settings.dane && (hop.tls == TlsMode::opportunistic || hop.tls == TlsMode::required);
  hop.mta_sts = settings.mta_sts && (hop.tls == TlsMode::opportunistic || hop.tls == TlsMode::required);
  if (transport == nullptr || transport->kind == config::Transport::Kind::mx) {
    hop.key = hop.host = transport == nullptr || transport->domain.empty() ? remote.domain : transport->domain;
    // A route with options is a queue of its own beside the one without.
    if (transport != nullptr && !(transport->tls.empty() && transport->auth_user.empty() && transport->source.empty() &&
                                  transport->family.empty()))
      hop.key += concat({" (", transport->name, ")"});
    hop.port = settings.port;
    hop.by_mx = !smtp::is_address_literal(hop.host);
    return hop;
  }
  hop.key = transport->name;
  hop.by_mx = false;
  hop.lmtp = transport->kind == config::Transport::Kind::lmtp;
  hop.host = transport->host.host;
  hop.port = transport->host.port;
  hop.unix_path = transport->host.path;
  hop.mta_sts = hop.mta_sts && !hop.lmtp && hop.unix_path.empty();
  return hop;
}

NextHop without_tls_policy(NextHop hop) {
  if ((hop.tls != TlsMode::required && !hop.dane && !hop.mta_sts) || hop.authenticate()) return hop;
  hop.tls = TlsMode::opportunistic;
  hop.dane = hop.mta_sts = false;
  hop.beside = hop.key;
  hop.key += " (TLS-Required: No)";
  return hop;
}

NextHop with_requiretls(NextHop hop) {
  hop.requiretls = true;
  if (hop.tls == TlsMode::opportunistic) hop.tls = TlsMode::required;
  hop.beside = hop.key;
  hop.key += " (REQUIRETLS)";
  return hop;
}

NextHop next_hop_of(const config::Relay& settings, const route::Remote& remote, const spool::Envelope& envelope) {
  auto hop = next_hop(settings, remote);
  // A bounce goes without, where it must (RFC 8689 section 5); a Unix socket leads to no other host.
  if (envelope.require_tls && !envelope.reverse_path.empty() && hop.unix_path.empty())
    return with_requiretls(std::move(hop));
  if (envelope.tls_optional && !envelope.require_tls) return without_tls_policy(std::move(hop));
  return hop;
}

std::optional<net::SocketAddress> source_for(const config::Strings& sources, const net::SocketAddress& to) {
  for (const auto& source : sources)
    if (const auto ip = IpAddress::parse(source); ip && ip->is_v4() == to.ip.is_v4())
      return net::SocketAddress{.ip = *ip, .port = 0, .unix_path = {}};
  return std::nullopt;
}

struct TargetLookup::Impl : std::enable_shared_from_this<Impl> {
  net::Loop& loop;
  net::Resolver& resolver;
  NextHop hop;
  TargetRules rules;
  Callback callback;
  std::vector<std::unique_ptr<net::Resolver::Query>> queries;
  struct Host {
    std::string name;
    std::uint16_t preference;
    std::vector<IpAddress> v6, v4;
    bool authentic = true;    // by DNSSEC: all that was said of its addresses
    std::string canonical{};  // where its CNAMEs lead
    std::shared_ptr<const Dane> dane{};
    bool barred = false;  // what DANE asks of it cannot be known now
  };
  std::vector<Host> hosts;
  std::size_t open_questions = 0;
  bool temporary = false;  // some address could not be asked for
  bool authentic = true;   // by DNSSEC or configuration: that these are the domain's hosts
  std::string last_error;
  std::unique_ptr<StsPolicies::Question> policy_question;  // asked beside the hosts
  std::optional<StsPolicy> policy;
  bool policy_due = false, hosts_known = false;

  Impl(net::Loop& l, net::Resolver& r, NextHop h, TargetRules t, Callback c)
      : loop(l), resolver(r), hop(std::move(h)), rules(std::move(t)), callback(std::move(c)) {}

  void finish(Targets targets) {
    auto call = std::move(callback);
    queries.clear();
    policy_question.reset();
    if (call) call(std::move(targets));
  }
  void finish_later(Targets targets) {
    loop.post([self = weak_from_this(), targets = std::move(targets)]() mutable {
      if (const auto impl = self.lock()) impl->finish(std::move(targets));
    });
  }
  static Targets refuse(int code, std::string text) { return tl::unexpected(smtp::Reply{code, std::move(text)}); }

  void start() {
    if (!hop.unix_path.empty()) {
      HostAddress host{.host_name = "localhost", .address = {}, .preference = 0};
      host.address.unix_path = hop.unix_path;
      host.authentic = true;
      return finish_later(std::vector{std::move(host)});
    }
    const auto literal = smtp::literal_address(hop.host);
    if (const auto address = IpAddress::parse(literal ? *literal : hop.host)) {
      hosts.push_back({hop.host, 0, {}, {}});
      (address->is_v4() ? hosts.back().v4 : hosts.back().v6).push_back(*address);
      return finish_later(ordered());
    }
    if (smtp::is_address_literal(hop.host))
      return finish_later(refuse(550, concat({"5.1.3 ", hop.host, " is no address that mail can be sent to"})));
    if (hop.mta_sts && rules.sts != nullptr) {
      policy_due = true;
      policy_question = rules.sts->ask(hop.host, [self = weak_from_this()](std::optional<StsPolicy> found) {
        if (const auto impl = self.lock()) impl->on_policy(std::move(found));
      });
    }
    if (!hop.by_mx) {
      hosts.push_back({hop.host, 0, {}, {}});
      return ask_addresses();
    }
    ask(net::DnsType::mx, hop.host, [this](net::DnsResult result) { on_mx(std::move(result)); });
  }

  template <class Then>
  void ask(net::DnsType type, const std::string& name, Then then) {
    queries.push_back(resolver.ask(type, name, [self = weak_from_this(), then](net::DnsResult result) mutable {
      if (const auto impl = self.lock()) then(std::move(result));
    }));
  }

  void on_mx(net::DnsResult result) {
    if (!result) {
      const auto& error = result.error();
      if (error.kind == Error::Kind::temporary) return finish(refuse(451, "4.4.3 " + error.text));
      if (net::nxdomain(error)) return finish(refuse(550, concat({"5.1.2 The domain ", hop.host, " does not exist"})));
      if (error.kind != Error::Kind::not_found) return finish(refuse(550, "5.1.2 " + error.text));
      hosts.push_back({hop.host, 0, {}, {}});  // no MX: the domain itself (RFC 5321 section 5.1)
      return ask_addresses();
    }
    // RFC 7505 section 3: a null MX stands alone; beside others it is ignored.
    if (std::ranges::all_of(result->mx, [](const auto& mx) { return mx.exchange.empty(); }))
      return finish(refuse(556, concat({"5.1.10 The domain ", hop.host, " takes no mail (null MX)"})));
    authentic = result->authentic;
    auto records = std::move(result->mx);
    std::erase_if(records, [](const auto& mx) { return mx.exchange.empty(); });
    static thread_local std::minstd_rand random{std::random_device{}()};
    std::ranges::shuffle(records, random);  // hosts of one preference share the load (RFC 5321 section 5.1)
    std::ranges::stable_sort(records, {}, &net::MxRecord::preference);
    if (records.size() > kMostMxHosts) records.resize(kMostMxHosts);
    for (const auto& mx : records) hosts.push_back({mx.exchange, mx.preference, {}, {}});
    ask_addresses();
  }

  void ask_addresses() {
    const bool v4 = hop.family != Family::ipv6_only, v6 = hop.family != Family::ipv4_only;
    open_questions = hosts.size() * (v4 && v6 ? 2 : 1);
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      // Some publish an address as the exchange; it is no name, but what they mean is plain.
      const auto type_of = [this, i](net::DnsType type) {
        ask(type, hosts[i].name, [this, i, type](net::DnsResult result) { on_addresses(i, type, std::move(result)); });
      };
      if (v4) type_of(net::DnsType::a);
      if (v6) type_of(net::DnsType::aaaa);
    }
  }

  void on_addresses(std::size_t host, net::DnsType type, net::DnsResult result) {
    if (result) {
      auto& to = type == net::DnsType::a ? hosts[host].v4 : hosts[host].v6;
      to = std::move(result->addresses);
      hosts[host].authentic = hosts[host].authentic && result->authentic;
      hosts[host].canonical = result->canonical_name;
    } else {
      if (result.error().kind == Error::Kind::temporary) temporary = true;
      last_error = result.error().text;
    }
    if (--open_questions == 0) ask_tlsa();
  }

  /// For the hosts whose name and addresses are authentic (RFC 7672 section 2.2): where an answer can be forged, TLSA
  /// records prove nothing, and are not asked for.
  void ask_tlsa() {
    std::vector<std::size_t> wanted;
    for (std::size_t i = 0; i < hosts.size() && hop.dane && authentic; ++i)
      if (hosts[i].authentic && !(hosts[i].v4.empty() && hosts[i].v6.empty())) wanted.push_back(i);
    if (wanted.empty()) return on_hosts_known();
    open_questions = wanted.size();
    for (const auto i : wanted) ask_tlsa_at(i, hosts[i].canonical.empty() ? hosts[i].name : hosts[i].canonical);
  }
  void ask_tlsa_at(std::size_t host, const std::string& base) {
    ask(net::DnsType::tlsa, concat({"_", decimal(hop.port), "._tcp.", base}),
        [this, host, base](net::DnsResult result) { on_tlsa(host, base, std::move(result)); });
  }

  void on_tlsa(std::size_t at, const std::string& base, net::DnsResult result) {
    auto& host = hosts[at];
    if (result && result->authentic && !result->tlsa.empty()) {
      auto dane = std::make_shared<Dane>(Dane{base, hop.host, {}});
      for (auto& record : result->tlsa)  // PKIX-TA and PKIX-EE are of no use here (RFC 7672 section 3.1.3)
        if ((record.usage == 2 || record.usage == 3) && dane->records.size() < kMostTlsa)
          dane->records.push_back(std::move(record));
      host.dane = std::move(dane);
    } else if (!result && result.error().kind != Error::Kind::not_found) {
      // Somebody may be hiding the records: this host is as good as dead (RFC 7672 section 2.1.2).
      host.barred = temporary = true;
      last_error = result.error().text;
    } else if (!iequals(base, host.name)) {
      return ask_tlsa_at(at, host.name);  // not at the end of the CNAMEs: at their beginning (section 2.2.3)
    }
    if (--open_questions == 0) on_hosts_known();
  }

  void on_policy(std::optional<StsPolicy> found) {
    policy = std::move(found);
    policy_due = false;
    if (hosts_known) finish(ordered());
  }
  void on_hosts_known() {
    hosts_known = true;
    if (!policy_due) finish(ordered());
  }

  /// What MTA-STS says of a host; nothing where no mail may go there. A policy that is only tested is told of in the
  /// log.
  std::optional<StsPolicy::Mode> sts_of(const Host& host) const {
    // DANE stands above it (RFC 8461 section 2); without a usable record DANE asks for no particular certificate.
    if (!policy || (host.dane && !host.dane->records.empty())) return StsPolicy::Mode::none;
    if (policy->names(host.name)) return policy->mode;
    log_event(LogLevel::info, "mta-sts-mismatch",
              {{"domain", hop.host}, {"host", host.name}, {"mode", to_string(policy->mode)}});
    if (policy->mode == StsPolicy::Mode::enforce) return std::nullopt;
    return StsPolicy::Mode::none;
  }

  bool is_us(const Host& host) const {
    if (iequals(host.name, rules.own_name)) return true;
    if (hop.port != 25) return false;  // several of us on one host, each with a name of its own
    const auto own = [this](const IpAddress& address) {
      return std::ranges::find(rules.own_addresses, address) != rules.own_addresses.end();
    };
    return std::ranges::any_of(host.v4, own) || std::ranges::any_of(host.v6, own);
  }

  Targets ordered() const {
    // We stand among the MX ourselves: only better ones are tried, else mail would go in a circle (RFC 5321
    // section 5.1).
    std::optional<std::uint16_t> own_preference;
    if (hop.by_mx)
      for (const auto& host : hosts)
        if (is_us(host)) own_preference = std::min(host.preference, own_preference.value_or(host.preference));
    std::vector<HostAddress> found;
    bool only_private = false, unnamed = false, doubtful = false;
    for (const auto& host : hosts) {
      if (host.barred || (own_preference && host.preference >= *own_preference)) continue;
      const auto sts = sts_of(host);
      const bool known = authentic || (policy && policy->names(host.name));
      unnamed = unnamed || !sts;
      doubtful = doubtful || !known;
      if (!sts || (hop.requiretls && !known)) continue;  // as if it could not be reached (RFC 8461 section 8.4)
      const bool v4_first = hop.family == Family::ipv4_first;
      for (const auto* addresses : {v4_first ? &host.v4 : &host.v6, v4_first ? &host.v6 : &host.v4}) {
        for (const auto& address : *addresses) {
          if (address.is_unspecified() || (hop.by_mx && !rules.private_targets && address.is_private())) {
            only_private = true;
            continue;
          }
          if (found.size() < kMostAddresses)
            found.push_back({.host_name = host.name,
                             .address = {.ip = address, .port = hop.port, .unix_path = {}},
                             .preference = host.preference,
                             .dane = host.dane,
                             .sts = *sts,
                             .authentic = known});
        }
      }
    }
    if (!found.empty()) return found;
    if (own_preference)
      return refuse(550, concat({"5.4.6 The best mail exchanger of ", hop.host,
                                 " is this host, which does not know the domain as local"}));
    if (temporary) return refuse(451, "4.4.3 " + last_error);
    if (unnamed)
      return refuse(451, concat({"4.7.5 The MTA-STS policy of ", hop.host, " names none of its mail exchangers"}));
    if (doubtful && hop.requiretls)
      return refuse(550, concat({"5.7.10 The message requires TLS, and neither DNSSEC nor MTA-STS says that the mail "
                                 "exchangers of ",
                                 hop.host, " are its own"}));
    if (only_private)
      return refuse(550, concat({"5.4.4 The mail exchangers of ", hop.host, " have private addresses only"}));
    return refuse(550, concat({"5.4.4 No mail exchanger of ", hop.host, " has an address"}));
  }
};

TargetLookup::TargetLookup(net::Loop& loop, net::Resolver& resolver, NextHop hop, TargetRules rules, Callback callback)
    : impl_(std::make_shared<Impl>(loop, resolver, std::move(hop), std::move(rules), std::move(callback))) {
  impl_->start();
}

TargetLookup::~TargetLookup() = default;

}  // namespace mail::relay
