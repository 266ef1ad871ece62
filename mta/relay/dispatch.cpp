// Destinations and their connections: who is sent what, when, over how many connections.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "message/header.h"
#include "message/recode.h"
#include "mta/relay/manager.h"
#include "smtp/path.h"

namespace mail::relay {

namespace {

constexpr Seconds kNoAnswer = 60;          // until a router or a disk that had no answer is asked again
constexpr std::size_t kMostLookups = 256;  // at the same time
constexpr std::uint64_t kTurn = 50;        // messages of one connection, while other destinations wait for one
constexpr std::size_t kMostReceived =
    50;  // hops, then it is a loop (RFC 5321 section 6.3 says at least 100 … "be large"; Postfix 50)

/// True where the message has been here so often, or anywhere, that it must be in a circle (RFC 5321 section 6.3).
bool in_a_circle(std::string_view content, std::string_view own_name) {
  constexpr std::size_t kMostOwn = 10;  // a list's member may lead back to us; ten times is no accident
  const auto own = concat({"by ", own_name, " (Relais"});
  std::size_t all = 0, ours = 0;
  for (const auto& field : message::HeaderFields(content)) {
    if (!iequals(field.name, "Received")) continue;
    ++all;
    if (ifind(field.value, own) != std::string_view::npos) ++ours;
  }
  return all > kMostReceived || ours > kMostOwn;
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
  if (auto* known = find_destination(hop.key)) return *known;
  const auto& rates = s_.settings.relay.rates;
  auto rate = rates.find(hop.name());
  if (rate == rates.end()) rate = rates.find("*");
  auto made = std::make_unique<Destination>(hop, rate == rates.end() ? std::nullopt : config::parse_rate(rate->second));
  auto* const destination = made.get();
  destinations_.insert({std::move(made)});
  return *destination;
}

/// Null where there is none.
Destination* Manager::find_destination(std::string_view key) {
  const auto* const found = destinations_.find(key);
  return found == nullptr ? nullptr : found->destination.get();
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
  time_table_.set(d, wake);
  if (d.ready.empty() || d.not_before > now()) d.sleep_if_idle();
}

void Manager::work(Destination& d) {
  if (stopping_) return;
  while (!d.deferred.empty() && d.deferred.first() <= now()) d.ready.push(d.deferred.pop());
  if (d.ready.empty() || d.not_before > now()) return;
  for (std::size_t i = 0; i < d.connections() && !d.ready.empty(); ++i) feed(*d.awake->connections[i]);
  if (d.ready.empty() || rests(d)) return;
  if (d.awake && !d.awake->hosts.empty() && s_.loop.now() < d.awake->hosts_known_until) return open_connections(d);
  if (d.looks_up()) return;
  if (lookups_ >= kMostLookups) return wait_for_turn(d);
  ++lookups_;
  auto& awake = d.wake_up(s_.settings.relay);
  awake.lookup = std::make_unique<TargetLookup>(s_.loop, s_.resolver, awake.hop, rules_, [this, &d](Targets targets) {
    --lookups_;
    if (!waiting_.empty()) give_turns();
    s_.loop.defer([lookup = std::shared_ptr<TargetLookup>(std::move(d.awake->lookup))] {});
    learned(d, std::move(targets));
  });
}

/// True where the rate of the destination lets nothing go now; tick() comes back to it.
bool Manager::rests(Destination& d) {
  if (d.allowance(s_.loop.now()) > 0) return false;
  resting_.insert(d.key);
  return true;
}

void Manager::wait_for_turn(Destination& d) {
  if (!d.waits) waiting_.push_back(&d);
  d.waits = true;
}

/// A connection or a look-up has become free: whoever has waited longest may go on.
void Manager::give_turns() {
  if (turns_given_) return;
  turns_given_ = true;
  s_.loop.post([this, alive = alive_] {
    if (!*alive) return;
    turns_given_ = false;
    for (auto left = waiting_.size(); left > 0; --left) {
      if (connection_count_ >= s_.settings.relay.connections || lookups_ >= kMostLookups) return;
      auto& d = *waiting_.front();  // who waits is not dropped
      waiting_.pop_front();
      const auto key = d.key;
      d.waits = false;
      work(d);
      schedule(d);
      drop_if_empty(key);
    }
  });
}

void Manager::on_ready(Outbound& connection) { feed(connection); }

void Manager::feed(Outbound& connection) {
  const auto found = connections_.find(&connection);
  if (found == connections_.end() || stopping_) return;
  auto& d = *found->second.first;
  if (d.failures > 0 && connection.sent() == 0 && connection.can_send()) {
    d.failures = 0;
    d.last_error.reset();
  }
  while (connection.can_send() && !d.ready.empty()) {
    if (turn_is_over(connection)) return close_when_idle(connection);
    if (rests(d)) return;
    auto parcel = next_parcel(d, connection);
    if (!parcel) continue;
    if (d.particulars && d.particulars->allowance) d.particulars->allowance->take();
    connections_[&connection].second = s_.loop.now();
    ++under_way_;
    connection.send(std::move(*parcel));
  }
}

/// True where the connection has carried what the peer's LIMITS (RFC 9422) let it, or, while other destinations wait
/// for a connection, what makes a turn.
bool Manager::turn_is_over(const Outbound& connection) const {
  const auto most = connection.offered().transactions;
  return (!waiting_.empty() && connection.sent() >= kTurn) || (most && connection.sent() >= *most);
}

/// QUIT would end the transactions that are under way: on_result() comes back to it.
void Manager::close_when_idle(Outbound& connection) {
  if (connection.under_way() > 0) return;
  s_.loop.post([this, alive = alive_, &connection] {
    if (*alive && connections_.contains(&connection)) connection.close();
  });
}

/// Opens the message of a job, with the recipients that are this destination's; null where there is nothing to do for
/// it here and now, which has been seen to.
std::shared_ptr<Manager::Work> Manager::open_work(Destination& d, const Job& job) {
  const auto id = job.id.id();
  const auto later = [&] {
    auto again = job;
    again.next = now() + kNoAnswer;
    d.deferred.push(again);
    schedule(d);
    return nullptr;
  };
  auto opened = spool::StoredMessage::open(s_.spool, spool::Box::queue, id);
  if (!opened) {
    if (opened.error().kind == Error::Kind::temporary) return later();
    if (opened.error().kind == Error::Kind::syntax)
      (void)spool::set_aside(s_.spool, spool::Box::queue, id, opened.error().text);
    known_.erase(job.id);  // removed or held by an operator
    shared_.erase(job.id);
    return nullptr;
  }
  auto work = std::make_shared<Work>(Work{std::move(*opened), job, d.key, {}, false});
  auto sorted = sort(work->message.envelope());
  const auto mine = sorted.plain.find(d.key);
  if (mine != sorted.plain.end()) {
    work->recipients = std::move(mine->second.second);
    return work;
  }
  if (sorted.temporary) return later();
  // The routes have changed since: look at it anew, when its other destinations are through.
  if (work->message.envelope().any_open() && !shared_.contains(job.id)) {
    known_.erase(job.id);
    take_in(id);
  } else {
    job_done(std::move(work));
  }
  return nullptr;
}

/// Takes a job and opens its message; nothing where it turns out to be of no use (then the next one may be).
std::optional<Parcel> Manager::next_parcel(Destination& d, const Outbound& connection) {
  const auto job = d.ready.pop();
  if (!job) return std::nullopt;
  auto work = open_work(d, *job);
  if (!work) return std::nullopt;
  const auto& envelope = work->message.envelope();
  const auto& offered = connection.offered();
  const auto most = std::min<std::size_t>(
      s_.settings.relay.recipients, offered.recipients ? std::max<std::size_t>(1, *offered.recipients) : SIZE_MAX);
  Parcel parcel;
  for (const auto i : std::exchange(work->recipients, {})) {
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
  if (in_a_circle(work->message.content(), host_name_)) {
    for (const auto i : work->recipients)
      failed_for_good(*work, i, {}, {554, "5.4.6 The message went in a circle: too many Received fields"});
    work->recipients.clear();
  }
  if (work->recipients.empty()) return abandon(d, std::move(work));
  if (!envelope.reverse_path.empty())
    if (auto path = smtp::parse_mailbox(envelope.reverse_path)) parcel.message.reverse_path = std::move(*path);
  parcel.message.parameters = parameters_of(envelope, s_.clock.now());
  parcel.message.octets = work->message.content().size();
  parcel.content = work->message.content();
  parcel.keep = work;
  auto& require_tls = parcel.message.parameters.require_tls;
  // RFC 8689 section 5: a bounce goes on also where the next host does not know the option. Other mail is here only
  // where it does.
  if (!connection.hop().requiretls) require_tls = require_tls && connection.takes_requiretls();
  if (!fit(*work, parcel, offered)) return abandon(d, std::move(work));
  begin_work(envelope.id);
  return parcel;
}

/// None of these recipients is to be sent to any more; the next lot may be.
std::nullopt_t Manager::abandon(Destination& d, std::shared_ptr<Work> work) {
  if (work->more)
    d.ready.push(work->job);
  else
    job_done(std::move(work));
  return std::nullopt;
}

/// Converts what the next host would not take as it is (RFC 6152, RFC 3030); what may not be converted bounces.
bool Manager::fit(Work& work, Parcel& parcel, const smtp::Offered& offered) {
  auto& body = parcel.message.parameters.body;
  const bool binary = body == smtp::Body::binary_mime && !(offered.binarymime && offered.chunking);
  const bool eight_bit = body == smtp::Body::eight_bit_mime || binary;
  // An address in UTF-8 needs a host that takes everything: what is missing there is told by the session.
  if (!eight_bit || (offered.eight_bit_mime && !binary) || parcel.message.parameters.smtputf8) return true;
  auto recoded = message::recoded(parcel.content,
                                  offered.eight_bit_mime ? message::Passage::eight_bit : message::Passage::seven_bit);
  if (!recoded) {
    for (const auto i : work.recipients)
      failed_for_good(work, i, {},
                      {554, concat({"5.6.3 The next host takes no 8-bit mail, and ", recoded.error().text})});
    return false;
  }
  work.converted = *std::move(recoded);
  body = offered.eight_bit_mime ? smtp::Body::eight_bit_mime : smtp::Body::seven_bit;
  parcel.content = work.converted;
  parcel.message.octets = work.converted.size();
  return true;
}

void Manager::on_result(Outbound& connection, Parcel parcel, smtp::MessageResult result) {
  --under_way_;
  auto work = std::static_pointer_cast<Work>(parcel.keep);
  const auto found = connections_.find(&connection);
  if (found != connections_.end()) {
    auto& d = *found->second.first;
    found->second.second = s_.loop.now();
    const bool taken = std::ranges::any_of(result.recipients, [](const auto& r) { return r.reply.positive(); });
    if (taken) d.window = std::min(d.window + 1 / d.window, 1000.0F);
  }
  const auto id = work->job.id.id();
  conclude(std::move(work), result.recipients, connection.host().host_name, connection.offered().dsn,
           connection.tls_description());
  end_work(id);
  const auto still = connections_.find(&connection);
  if (still == connections_.end()) return;
  const bool wanted_elsewhere = !waiting_.empty() && still->second.first->ready.empty();
  if (wanted_elsewhere || turn_is_over(connection)) return close_when_idle(connection);
  // The window has grown, and there is more to send than these connections carry.
  auto& d = *still->second.first;
  if (waiting_.empty() && !d.awake->hosts.empty() && d.connections() < static_cast<std::size_t>(d.window))
    open_connections(d);
}

void Manager::drop_if_empty(const std::string& key) {
  auto* const found = find_destination(key);
  if (found == nullptr) return;
  auto& d = *found;
  if (d.jobs() > 0 || d.connections() > 0 || d.looks_up() || d.waits) return;
  auto* allowance = d.particulars && d.particulars->allowance ? &*d.particulars->allowance : nullptr;
  if (d.not_before > now() || (allowance != nullptr && !allowance->full(s_.loop.now()))) {
    resting_.insert(key);  // that it is dead, or what it was sent lately, is remembered for a while
    return;
  }
  time_table_.set(d, 0);
  destinations_.erase(key);
}

}  // namespace mail::relay
