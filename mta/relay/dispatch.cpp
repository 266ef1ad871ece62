// Destinations and their connections: who is sent what, when, over how many connections.
#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "mta/relay/manager.h"
#include "smtp/path.h"

namespace mail::relay {

namespace {

using namespace std::chrono_literals;
constexpr auto kDeadFor = 5min;     // a host that could not be reached is passed over so long, while others can be
constexpr auto kHostsKnown = 5min;  // longest time that looked-up hosts are used
constexpr std::size_t kMostReceived =
    50;  // hops, then it is a loop (RFC 5321 section 6.3 says at least 100 … "be large"; Postfix 50)

std::size_t received_fields(std::string_view content) {
  std::size_t count = 0;
  while (!content.empty() && !content.starts_with("\r\n")) {
    if (istarts_with(content, "Received:")) ++count;
    const auto end = content.find("\r\n");
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 2);
  }
  return count;
}

smtp::Body body_of(spool::BodyType body) {
  if (body == spool::BodyType::eight_bit_mime) return smtp::Body::eight_bit_mime;
  return body == spool::BodyType::binary_mime ? smtp::Body::binary_mime : smtp::Body::seven_bit;
}

smtp::MailParameters parameters_of(const spool::Envelope& e, WallTime now) {
  smtp::MailParameters p;
  p.body = body_of(e.body);
  p.smtputf8 = e.smtputf8;
  if (e.return_content != spool::ReturnContent::unspecified)
    p.ret = e.return_content == spool::ReturnContent::full ? smtp::Ret::full : smtp::Ret::headers;
  if (!e.envelope_id.empty()) p.envid = e.envelope_id;
  p.require_tls = e.require_tls;
  if (e.priority != 0) p.mt_priority = e.priority;
  if (e.deliver_by)
    p.deliver_by =
        smtp::DeliverBy{.seconds = std::chrono::duration_cast<std::chrono::seconds>(*e.deliver_by - now).count(),
                        .return_when_late = e.deliver_by_return};
  return p;
}

smtp::OutgoingRecipient recipient_of(const spool::Recipient& r, smtp::Mailbox path) {
  smtp::OutgoingRecipient out{.forward_path = std::move(path), .parameters = {}};
  if (r.notify.given())
    out.parameters.notify =
        smtp::Notify{.success = r.notify.success, .failure = r.notify.failure, .delay = r.notify.delay};
  if (!r.original_recipient.empty()) {
    const auto [type, address] = split_once(r.original_recipient, ';');
    out.parameters.orcpt = smtp::OriginalRecipient{std::string(type), std::string(address)};
  }
  return out;
}

}  // namespace

Destination& Manager::destination(const NextHop& hop) {
  auto& entry = destinations_[hop.key];
  if (!entry) entry = std::make_unique<Destination>(hop);
  return *entry;
}

void Manager::enqueue(Destination& d, const Job& job) {
  if (job.next > now())
    d.deferred.push(job);
  else
    d.ready.push(job);
  work(d);
  schedule(d);
}

/// Enters the destination in the time table for the earliest moment at which it has something to do.
void Manager::schedule(Destination& d) {
  Seconds wake = 0;
  if (!d.deferred.empty()) wake = d.deferred.first();
  if (!d.ready.empty() && d.not_before > now()) wake = wake == 0 ? d.not_before : std::min(wake, d.not_before);
  if (wake == d.wake) return;
  if (d.wake != 0) time_table_.erase({d.wake, &d});
  d.wake = wake;
  if (wake != 0) time_table_.insert({wake, &d});
}

void Manager::work(Destination& d) {
  if (stopping_) return;
  while (!d.deferred.empty() && d.deferred.first() <= now()) d.ready.push(d.deferred.pop());
  if (d.ready.empty() || d.not_before > now()) return;
  for (std::size_t i = 0; i < d.connections.size() && !d.ready.empty(); ++i) feed(*d.connections[i]);
  if (d.ready.empty()) return;
  if (!d.hosts.empty() && s_.loop.now() < d.hosts_known_until) return open_connections(d);
  if (d.lookup) return;
  d.lookup = std::make_unique<TargetLookup>(s_.loop, s_.resolver, d.hop, rules_, [this, &d](Targets targets) {
    s_.loop.defer([lookup = std::shared_ptr<TargetLookup>(std::move(d.lookup))] {});
    learned(d, std::move(targets));
  });
}

void Manager::learned(Destination& d, Targets targets) {
  if (!targets) return destination_failed(d, targets.error());
  d.hosts = std::move(*targets);
  d.hosts_known_until = s_.loop.now() + kHostsKnown;
  open_connections(d);
}

const HostAddress* Manager::pick_host(const Destination& d) const {
  for (const auto& host : d.hosts) {
    const auto dead = dead_hosts_.find(host.address.to_string());
    if (dead == dead_hosts_.end() || dead->second <= s_.loop.now()) return &host;
  }
  return nullptr;
}

void Manager::open_connections(Destination& d) {
  const auto& limits = s_.settings.relay;
  const auto most = std::min<std::size_t>(static_cast<std::size_t>(d.window), limits.connections_per_host);
  while (!stopping_ && d.connections.size() < most && d.connections.size() < d.ready.size()) {
    if (connection_count_ >= limits.connections) {
      if (!d.waits) waiting_.push_back(d.hop.key);
      d.waits = true;
      return;
    }
    const auto* host = pick_host(d);
    if (host == nullptr) {
      // All of them failed a short while ago, for another destination perhaps.
      if (!d.connections.empty()) return;
      host = &d.hosts.front();
    }
    ++connection_count_;
    d.connections.push_back(std::make_unique<Outbound>(s_.loop, outbound_, d.hop, *host, *this));
    connections_[d.connections.back().get()] = {&d, s_.loop.now()};
  }
}

void Manager::on_ready(Outbound& connection) { feed(connection); }

void Manager::feed(Outbound& connection) {
  const auto found = connections_.find(&connection);
  if (found == connections_.end() || stopping_) return;
  auto& d = *found->second.first;
  if (d.failures > 0 && connection.sent() == 0 && connection.can_send()) {
    d.failures = 0;
    d.last_error.clear();
  }
  while (connection.can_send() && !d.ready.empty()) {
    if (const auto most = connection.offered().transactions; most && connection.sent() >= *most) {
      s_.loop.post([this, alive = alive_, &connection] {
        if (*alive && connections_.contains(&connection)) connection.close();
      });
      return;
    }
    auto parcel = next_parcel(d, connection);
    if (!parcel) continue;
    connections_[&connection].second = s_.loop.now();
    ++under_way_;
    connection.send(std::move(*parcel));
  }
}

/// Takes a job and opens its message; nothing where it turns out to be of no use (then the next one may be).
std::optional<Parcel> Manager::next_parcel(Destination& d, const Outbound& connection) {
  const auto job = d.ready.pop();
  if (!job) return std::nullopt;
  const auto id = job->id.id();
  auto opened = spool::StoredMessage::open(s_.spool, spool::Box::queue, id);
  if (!opened) {
    if (opened.error().kind == Error::Kind::temporary) {
      auto again = *job;
      again.next = now() + 60;
      d.deferred.push(again);
      return std::nullopt;
    }
    if (opened.error().kind == Error::Kind::syntax)
      (void)spool::set_aside(s_.spool, spool::Box::queue, id, opened.error().text);
    known_.erase(job->id);  // removed or held by an operator
    shared_.erase(job->id);
    return std::nullopt;
  }
  auto work = std::make_shared<Work>(Work{std::move(*opened), *job, d.hop.key, {}, false});
  const auto& envelope = work->message.envelope();
  auto sorted = sort(envelope.recipients);
  const auto mine = sorted.plain.find(d.hop.key);
  if (mine == sorted.plain.end()) {
    // The routes have changed since: look at it anew.
    if (envelope.any_open() && !sorted.temporary && !shared_.contains(job->id)) {
      known_.erase(job->id);
      take_in(id);
    } else {
      job_done(std::move(work));
    }
    return std::nullopt;
  }
  const auto& offered = connection.offered();
  const auto most = std::min<std::size_t>(
      s_.settings.relay.recipients, offered.recipients ? std::max<std::size_t>(1, *offered.recipients) : SIZE_MAX);
  Parcel parcel;
  for (const auto i : mine->second.second) {
    if (work->recipients.size() == most) {
      work->more = true;
      break;
    }
    auto path = smtp::parse_mailbox(envelope.recipients[i].forward_path);
    if (!path) {
      failed_for_good(*work, i, {}, {553, "5.1.3 The address is not written correctly"});
      continue;
    }
    work->recipients.push_back(i);
    parcel.message.recipients.push_back(recipient_of(envelope.recipients[i], std::move(*path)));
  }
  if (received_fields(work->message.content()) > kMostReceived) {
    for (const auto i : work->recipients)
      failed_for_good(*work, i, {}, {554, "5.4.6 The message went in a circle: too many Received fields"});
    work->recipients.clear();
  }
  if (work->recipients.empty()) {
    job_done(std::move(work));
    return std::nullopt;
  }
  if (!envelope.reverse_path.empty())
    if (auto path = smtp::parse_mailbox(envelope.reverse_path)) parcel.message.reverse_path = std::move(*path);
  parcel.message.parameters = parameters_of(envelope, s_.clock.now());
  parcel.message.octets = work->message.content().size();
  parcel.content = work->message.content();
  parcel.keep = work;
  return parcel;
}

void Manager::on_result(Outbound& connection, Parcel parcel, smtp::MessageResult result) {
  --under_way_;
  auto work = std::static_pointer_cast<Work>(parcel.keep);
  const auto found = connections_.find(&connection);
  if (found != connections_.end()) {
    auto& d = *found->second.first;
    found->second.second = s_.loop.now();
    const bool taken = std::ranges::any_of(result.recipients, [](const auto& r) { return r.reply.positive(); });
    if (taken) d.window = std::min(d.window + 1 / d.window, 1000.0);
  }
  conclude(std::move(work), result.recipients, connection.host().host_name, connection.offered().dsn,
           connection.tls_description());
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
              {{"destination", d.hop.key},
               {"host", host.host_name},
               {"address", host.address.to_string()},
               {"reply", reply.line()}});
    dead_hosts_[host.address.to_string()] = s_.loop.now() + kDeadFor;
    d.window = std::max(1.0, d.window / 2);
    if (!d.connections.empty()) return;  // another one is open or still being tried
    if (pick_host(d) != nullptr) return open_connections(d);
    return destination_failed(d, reply);
  }
  if (!waiting_.empty() && connection_count_ < s_.settings.relay.connections) {
    const auto next = destinations_.find(waiting_.front());
    waiting_.pop_front();
    if (next != destinations_.end()) {
      next->second->waits = false;
      this->work(*next->second);
    }
  }
  const auto key = d.hop.key;
  this->work(d);
  schedule(d);
  drop_if_empty(key);
}

void Manager::remove_connection(Destination& d, Outbound& connection) {
  connections_.erase(&connection);
  const auto at = std::ranges::find(d.connections, &connection, &std::unique_ptr<Outbound>::get);
  if (at == d.connections.end()) return;
  // It is on the call stack: it goes at the end of this round.
  s_.loop.post([gone = std::shared_ptr<Outbound>(std::move(*at))] {});
  d.connections.erase(at);
  --connection_count_;
}

void Manager::drop_if_empty(const std::string& key) {
  const auto found = destinations_.find(key);
  if (found == destinations_.end()) return;
  const auto& d = *found->second;
  if (d.jobs() > 0 || !d.connections.empty() || d.lookup || d.waits || d.not_before > now()) return;
  if (d.wake != 0) time_table_.erase({d.wake, found->second.get()});
  destinations_.erase(found);
}

void Manager::destination_failed(Destination& d, const smtp::Reply& reply) {
  d.last_error = reply.line();
  d.hosts_known_until = {};
  if (reply.permanent()) return refuse_all(d, reply);
  ++d.failures;
  d.window = 1;
  d.not_before = now() + retry_after(s_.settings.relay.retry_first, s_.settings.relay.retry_most, d.failures);
  log_event(LogLevel::info, "destination-deferred",
            {{"destination", d.hop.key},
             {"messages", d.jobs()},
             {"retry_in", d.not_before - now()},
             {"reply", d.last_error}});
  expire(d, reply);
  schedule(d);
}

/// A destination that cannot be reached: what waits too long is given up or reported late, the rest is left in peace.
void Manager::expire(Destination& d, const smtp::Reply& reply) {
  const auto& relay = s_.settings.relay;
  const auto time = now();
  const auto due = [&](const Job& job) {
    const auto age = time - std::min(time, job.arrival);
    return age >= std::min(relay.give_up, relay.bounce_give_up).count() ||
           (!job.warned && age >= relay.delay_warning.count());
  };
  auto jobs = d.ready.take_if(due);
  for (auto& job : d.deferred.take_if(due)) jobs.push_back(job);
  for (const auto& job : jobs) {
    auto opened = spool::StoredMessage::open(s_.spool, spool::Box::queue, job.id.id());
    if (!opened) {
      known_.erase(job.id);
      continue;
    }
    auto work = std::make_shared<Work>(Work{std::move(*opened), job, d.hop.key, {}, false});
    const auto sorted = sort(work->message.envelope().recipients);
    const auto mine = sorted.plain.find(d.hop.key);
    if (mine == sorted.plain.end()) continue;
    work->recipients = mine->second.second;
    const std::vector<smtp::RecipientResult> results(work->recipients.size(), {reply, smtp::Stage::connect});
    conclude(std::move(work), results, {}, false, {});
  }
}

void Manager::refuse_all(Destination& d, const smtp::Reply& reply) {
  auto jobs = d.ready.take_if([](const Job&) { return true; });
  for (const auto& job : jobs) {
    auto opened = spool::StoredMessage::open(s_.spool, spool::Box::queue, job.id.id());
    if (!opened) {
      known_.erase(job.id);
      continue;
    }
    auto work = std::make_shared<Work>(Work{std::move(*opened), job, d.hop.key, {}, false});
    const auto sorted = sort(work->message.envelope().recipients);
    if (const auto mine = sorted.plain.find(d.hop.key); mine != sorted.plain.end())
      work->recipients = mine->second.second;
    const std::vector<smtp::RecipientResult> results(work->recipients.size(), {reply, smtp::Stage::connect});
    conclude(std::move(work), results, {}, false, {});
  }
  s_.loop.post([this, alive = alive_, key = d.hop.key] {
    if (*alive) drop_if_empty(key);
  });
}

}  // namespace mail::relay
