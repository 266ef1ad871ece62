#include "mta/serve/policy/policy.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/strings.h"
#include "mta/serve/policy/access.h"

namespace mail::mta {
namespace {

bool contains(const config::Networks& networks, const net::SocketAddress& peer) {
  return !peer.is_unix() &&
         std::ranges::any_of(networks, [&](const IpPrefix& network) { return network.contains(peer.ip); });
}

}  // namespace

Policy::Policy(const config::Settings& settings, net::WorkerPool& workers, const Clock& clock)
    : settings_(settings.policy),
      host_name_(config::host_name(settings)),
      workers_(workers),
      connections_(std::max(settings_.rate_window, std::chrono::seconds(1)), clock),
      messages_(std::max(settings_.rate_window, std::chrono::seconds(1)), clock),
      user_messages_(std::max(settings_.rate_window, std::chrono::seconds(1)), clock),
      user_recipients_(std::max(settings_.rate_window, std::chrono::seconds(1)), clock) {}

Result<std::unique_ptr<Policy>> Policy::open(const config::Settings& settings, net::WorkerPool& workers,
                                             const Clock& clock) {
  std::unique_ptr<Policy> policy(new Policy(settings, workers, clock));
  const auto& s = policy->settings_;
  if (s.greylist.count() > 0) {
    MAIL_TRY(greylist, Greylist::open(s.greylist_database, {s.greylist, s.greylist_window, s.greylist_keep}, clock));
    policy->greylist_ = std::move(greylist);
  }
  if (!s.delegation.empty()) {
    MAIL_TRY(address, net::SocketAddress::parse(s.delegation));
    policy->delegation_ = std::move(address);
  }
  const bool lists = !s.deny_clients.empty() || !s.deny_names.empty() || !s.deny_senders.empty() ||
                     !s.deny_recipients.empty() || !s.deny_helo.empty();
  const bool rates = (s.client_connections | s.client_messages | s.user_messages | s.user_recipients) != 0;
  policy->active_ = lists || rates || policy->greylist_ || policy->delegation_ || !s.dnsbl.empty() ||
                    s.reverse_dns != "off" || s.helo != "off" || !s.allow_clients.empty() || !s.milters.empty();
  return policy;
}

ClientPolicy::ClientPolicy(Policy& policy, net::Loop& loop, net::Resolver& resolver, const net::SocketAddress& peer)
    : policy_(policy), loop_(loop), resolver_(resolver), peer_(peer) {
  rate_name_ = peer_.is_unix() ? "unix" : peer_.ip.is_v4() ? peer_.ip.to_string() : peer_.ip.masked(64).to_string();
}

ClientPolicy::~ClientPolicy() = default;

const std::string& ClientPolicy::confirmed_name() const {
  static const std::string kUnknown;
  return dns_ ? dns_->findings().confirmed_name : kUnknown;
}

ClientPolicy::Answer ClientPolicy::connected() {
  const auto& s = policy_.settings();
  allowed_ = peer_.is_unix() || contains(s.allow_clients, peer_);
  if (allowed_) return {};
  if (contains(s.deny_clients, peer_)) return smtp::Reply{554, "5.7.1 No mail is taken from your address"};
  if (!policy_.connections_.allow(rate_name_, 1, s.client_connections))
    return smtp::Reply{421, "4.7.0 Too many connections from your address, try later"};
  const bool names = s.reverse_dns != "off" || policy_.delegation_ || !s.allow_names.empty() || !s.deny_names.empty() ||
                     (!s.milters.empty() && !peer_.ip.is_loopback());
  if (!s.dnsbl.empty() || !s.dnswl.empty() || names)
    dns_ = std::make_unique<DnsChecks>(resolver_, peer_.ip, DnsChecks::Settings{s.dnsbl, s.dnswl, names});
  return {};
}

void ClientPolicy::when_named(const std::function<void()>& callback) {
  if (!dns_) return callback();
  dns_->when_done([callback](const DnsChecks::Findings&) { callback(); });
}

// ---- HELO

ClientPolicy::Answer ClientPolicy::hello_verdict(const Question& question) const {
  const auto& s = policy_.settings();
  if (name_matches(s.deny_helo, question.helo)) return smtp::Reply{550, "5.7.1 The name you give is refused"};
  if (s.helo == "off") return {};
  if (!is_full_name(question.helo)) return smtp::Reply{504, "5.5.2 A full host name is needed"};
  if (iequals(question.helo, policy_.host_name_)) return smtp::Reply{550, "5.7.1 That is my name, not yours"};
  return {};
}

void ClientPolicy::hello(const Question& question, const Callback& callback) {
  if (exempt(question)) return callback({});
  if (auto refusal = hello_verdict(question)) return callback(std::move(refusal));
  const auto ask = [this, question, callback](Answer refusal) {
    refusal ? callback(std::move(refusal)) : delegate("HELO", question, callback);
  };
  if (policy_.settings().helo != "resolves" || question.helo.starts_with('[')) return ask({});
  resolve_helo(question.helo, ask);
}

/// A host's name has an address, or at least takes mail (Postfix's reject_unknown_helo_hostname).
void ClientPolicy::resolve_helo(const std::string& helo, const Callback& callback) {
  struct Step {
    ClientPolicy* self;
    std::string helo;
    Callback callback;
    std::size_t at = 0;
    void operator()(const net::DnsResult& result) {
      static constexpr std::array kTypes{net::DnsType::a, net::DnsType::aaaa, net::DnsType::mx};
      if (result || result.error().kind == Error::Kind::temporary)
        return callback({});  // DNS in trouble is no crime of the client's
      if (++at == kTypes.size()) return callback(smtp::Reply{450, "4.7.1 The name you give is not in DNS"});
      self->helo_query_ = self->resolver_.ask(kTypes[at], helo, Step(*this));
    }
  };
  helo_query_ = resolver_.ask(net::DnsType::a, helo, Step{this, helo, callback});
}

// ---- MAIL

ClientPolicy::Answer ClientPolicy::dns_verdict(const DnsChecks::Findings& findings) const {
  const auto& s = policy_.settings();
  if (findings.blocked_by && !findings.allowed) {
    const auto text = findings.block_text.empty() ? std::string() : concat({": ", findings.block_text});
    return smtp::Reply{
        554, concat({"5.7.1 Your address ", peer_.ip.to_string(), " is listed by ", *findings.blocked_by, text})};
  }
  const bool denied =
      std::ranges::any_of(findings.names, [&](const std::string& name) { return name_matches(s.deny_names, name); });
  if (denied) return smtp::Reply{554, "5.7.1 No mail is taken from your host"};
  if (s.reverse_dns == "off" || findings.name_unknown) return {};
  if (!findings.has_name) return smtp::Reply{550, "5.7.25 Your address has no name in DNS"};
  if (s.reverse_dns == "confirmed" && findings.confirmed_name.empty())
    return smtp::Reply{550, "5.7.25 The name of your address does not lead back to it"};
  return {};
}

ClientPolicy::Answer ClientPolicy::count_message(const Question& question) {
  const auto& s = policy_.settings();
  const bool fits = question.user.empty()
                        ? question.trusted || policy_.messages_.allow(rate_name_, 1, s.client_messages)
                        : policy_.user_messages_.allow(question.user, 1, s.user_messages);
  if (fits) return {};
  return smtp::Reply{450, "4.7.1 Too many messages in a short time, try later"};
}

ClientPolicy::Answer ClientPolicy::sender_verdict(const Question& question) {
  const auto& s = policy_.settings();
  spared_ = address_matches(s.allow_senders, question.sender);
  if (!spared_ && address_matches(s.deny_senders, question.sender))
    return smtp::Reply{550, "5.7.1 No mail is taken from this sender"};
  return count_message(question);
}

void ClientPolicy::sender(const Question& question, const Callback& callback) {
  wishes_ = {};
  if (exempt(question)) return callback(allowed_ && question.user.empty() ? Answer{} : count_message(question));
  const auto ask = [this, question, callback](Answer refusal) {
    refusal || spared_ ? callback(std::move(refusal)) : delegate("MAIL", question, callback);
  };
  if (!dns_) return ask(sender_verdict(question));
  dns_->when_done(alive_.guard([this, question, callback, ask](const DnsChecks::Findings& findings) {
    if (auto refusal = dns_verdict(findings)) return callback(std::move(refusal));
    auto answer = sender_verdict(question);
    spared_ = spared_ || findings.allowed || name_matches(policy_.settings().allow_names, findings.confirmed_name);
    ask(std::move(answer));
  }));
}

// ---- RCPT

void ClientPolicy::recipient(const Question& question, const Callback& callback) {
  const auto& s = policy_.settings();
  if (!question.user.empty() && !policy_.user_recipients_.allow(question.user, 1, s.user_recipients))
    return callback(smtp::Reply{450, "4.7.1 Too many recipients in a short time, try later"});
  if (exempt(question)) return callback({});
  const bool allowed = address_matches(s.allow_recipients, question.recipient);
  if (!allowed && address_matches(s.deny_recipients, question.recipient))
    return callback(smtp::Reply{550, "5.7.1 This recipient takes no mail from outside"});
  if (allowed || spared_) return callback({});
  if (!policy_.greylist_) return delegate("RCPT", question, callback);
  greylist(question, callback);
}

void ClientPolicy::greylist(const Question& question, const Callback& callback) {
  policy_.workers_.submit(
      loop_,
      [list = policy_.greylist_.get(), client = peer_.ip, sender = question.sender, recipient = question.recipient] {
        return list->check(client, sender, recipient);
      },
      alive_.guard([this, question, callback](const Result<std::chrono::seconds>& wait) {
        if (!wait)
          log_event(LogLevel::warning, "greylist", {{"text", wait.error().text}});  // out of order: mail goes on
        if (!wait || wait->count() == 0) return delegate("RCPT", question, callback);
        callback(smtp::Reply{451, concat({"4.7.1 Greylisted, try again in ", decimal(wait->count()), " seconds"})});
      }));
}

// ---- The policy server

void ClientPolicy::data(const Question& question, const Callback& callback) {
  if (exempt(question) || spared_) return callback({});
  delegate("DATA", question, callback);
}

void ClientPolicy::end_of_message(const Question& question, const Callback& callback) {
  if (exempt(question) || spared_) return callback({});
  delegate("END-OF-MESSAGE", question, callback);
}

void ClientPolicy::delegate(std::string_view stage, const Question& question, const Callback& callback) {
  const auto& s = policy_.settings();
  if (!policy_.delegation_ || std::ranges::find(s.delegation_stages, stage) == s.delegation_stages.end())
    return callback({});
  if (!delegation_) delegation_ = std::make_unique<DelegationClient>(loop_, *policy_.delegation_, s.delegation_timeout);
  DelegationQuestion ask;
  ask.stage = stage == "HELO" && question.esmtp ? std::string_view("EHLO") : stage;
  ask.client_address = peer_.ip.to_string();
  ask.client_name = confirmed_name();
  ask.helo = question.helo;
  ask.sender = question.sender;
  ask.recipient = question.recipient;
  ask.user = question.user;
  ask.id = question.id;
  ask.protocol = question.esmtp ? "ESMTP" : "SMTP";
  ask.size = question.size;
  ask.recipients = question.recipients;
  ask.tls_protocol = question.tls_version;
  ask.tls_cipher = question.tls_cipher;
  delegation_->ask(ask, alive_.guard([this, callback](const Result<std::string>& action) { callback(heed(action)); }));
}

ClientPolicy::Answer ClientPolicy::heed(const Result<std::string>& action) {
  if (!action) {
    log_event(LogLevel::warning, "policy_server", {{"text", action.error().text}});
    if (policy_.settings().delegation_failure == "defer")
      return smtp::Reply{451, "4.3.5 Policy server problem, try later"};
    return {};
  }
  auto answer = parse_action(*action);
  if (!answer.ignored.empty())
    log_event(LogLevel::warning, "policy_server", {{"ignored", answer.ignored}, {"text", "no such action here"}});
  if (!answer.remark.empty()) log_event(LogLevel::info, "policy_server", {{"text", answer.remark}});
  wishes_.hold = wishes_.hold || answer.hold;
  wishes_.discard = wishes_.discard || answer.discard;
  if (!answer.redirect.empty()) wishes_.redirect = std::move(answer.redirect);
  if (!answer.bcc.empty()) wishes_.copies.push_back(std::move(answer.bcc));
  if (!answer.prepend.empty()) wishes_.prepend += concat({answer.prepend, "\r\n"});
  return std::move(answer.refusal);
}

}  // namespace mail::mta
