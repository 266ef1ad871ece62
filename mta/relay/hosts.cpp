// The hosts of a destination: which one is tried next, and what it means when none is left.
#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "mta/relay/manager.h"

namespace mail::relay {

namespace {

using namespace std::chrono_literals;
constexpr auto kDeadFor = 5min;     // a host that could not be reached is passed over so long, while others can be
constexpr auto kHostsKnown = 5min;  // longest time that looked-up hosts are used

}  // namespace

void Manager::learned(Destination& d, Targets targets) {
  if (!targets) return destination_failed(d, targets.error());
  d.awake->hosts = std::move(*targets);
  d.awake->hosts_known_until = s_.loop.now() + kHostsKnown;
  open_connections(d);
}

const HostAddress* Manager::pick_host(const Destination& d) const {
  for (const auto& host : d.awake->hosts)
    if (death_of(d, host) == nullptr) return &host;
  return nullptr;
}

/// Why a host is passed over now, for everybody or for this destination; null: it is not.
const Manager::Death* Manager::death_of(const Destination& d, const HostAddress& host) const {
  for (const auto& key : {host.text(), dead_here(d, host)})
    if (const auto found = dead_hosts_.find(key); found != dead_hosts_.end() && found->second.until > s_.loop.now())
      return &found->second;
  return nullptr;
}

/// What is said behind the greeting (TLS, log-in, REQUIRETLS) says nothing of other destinations.
std::string Manager::dead_here(const Destination& d, const HostAddress& host) {
  return concat({host.text(), " for ", d.key});
}

/// All hosts of a destination have been tried: the last one's word, but for good only where all have said so.
smtp::Reply Manager::verdict_of_all(const Destination& d, smtp::Reply last) const {
  if (!last.permanent()) return last;
  const auto may_pass = [&](const HostAddress& host) {
    const auto* death = death_of(d, host);
    return death != nullptr && !death->for_good;
  };
  if (std::ranges::none_of(d.awake->hosts, may_pass)) return last;
  return {451, concat({"4.4.1 Not all hosts could be reached; the last one: ", last.line()})};
}

void Manager::open_connections(Destination& d) {
  const auto& limits = s_.settings.relay;
  auto& connections = d.awake->connections;
  const auto most = std::min({static_cast<std::size_t>(d.window), limits.connections_per_host,
                              connections.size() + d.allowance(s_.loop.now())});
  while (!stopping_ && connections.size() < most && connections.size() < d.ready.size()) {
    if (connection_count_ >= limits.connections) {
      if (connections.empty()) wait_for_turn(d);  // who has one does not stand in line for a second
      return;
    }
    const auto* host = pick_host(d);
    if (host == nullptr) {
      // All of them failed a short while ago, for another destination perhaps.
      if (!connections.empty()) return;
      host = &d.awake->hosts.front();
    }
    ++connection_count_;
    connections.push_back(std::make_unique<Outbound>(s_.loop, outbound_, d.awake->hop, *host, *this));
    connections_[connections.back().get()] = {&d, s_.loop.now()};
  }
}

void Manager::on_over(Outbound& connection, smtp::Stage stage, smtp::Reply reply) {
  const auto found = connections_.find(&connection);
  if (found == connections_.end()) return;
  auto& d = *found->second.first;
  const bool never_opened =
      connection.sent() == 0 && reply.code != 221 && (stage == smtp::Stage::connect || stage == smtp::Stage::hello);
  const auto host = connection.host();
  remove_connection(d, connection);
  if (never_opened) {
    log_event(LogLevel::info, "host-failed",
              {{"destination", d.key},
               {"host", host.host_name},
               {"address", host.address.to_string()},
               {"reply", reply.line()}});
    dead_hosts_.erase(host.text());
    dead_hosts_[stage == smtp::Stage::connect ? host.text() : dead_here(d, host)] = {s_.loop.now() + kDeadFor,
                                                                                     reply.permanent()};
    d.window = std::max(1.0F, d.window / 2);
    if (d.connections() > 0) return;  // another one is open or still being tried
    if (pick_host(d) != nullptr) return open_connections(d);
    return destination_failed(d, verdict_of_all(d, reply));
  }
  if (reply.code == 421) d.window = std::max(1.0F, d.window / 2);
  const auto key = d.key;
  if (!waiting_.empty() && !d.ready.empty())
    wait_for_turn(d);
  else
    this->work(d);
  schedule(d);
  drop_if_empty(key);
}

void Manager::remove_connection(Destination& d, Outbound& connection) {
  connections_.erase(&connection);
  auto& all = d.awake->connections;
  const auto at = std::ranges::find(all, &connection, &std::unique_ptr<Outbound>::get);
  if (at == all.end()) return;
  // It is on the call stack: it goes at the end of this round.
  s_.loop.post([gone = std::shared_ptr<Outbound>(std::move(*at))] {});
  all.erase(at);
  --connection_count_;
  if (!waiting_.empty()) give_turns();
}

void Manager::destination_failed(Destination& d, const smtp::Reply& reply) {
  d.last_error = words_.keep(reply, d.key);
  d.awake->hosts = {};
  d.awake->hosts_known_until = {};
  if (reply.permanent()) return judge(d, d.ready.take_if([](const Job&) { return true; }), reply);
  if (d.failures < UINT16_MAX) ++d.failures;
  d.window = 1;
  d.not_before = now() + retry_after(s_.settings.relay.retry_first, s_.settings.relay.retry_most, d.failures);
  log_event(
      LogLevel::info, "destination-deferred",
      {{"destination", d.key}, {"messages", d.jobs()}, {"retry_in", d.not_before - now()}, {"reply", reply.line()}});
  expire(d, reply);
  schedule(d);
}

}  // namespace mail::relay
