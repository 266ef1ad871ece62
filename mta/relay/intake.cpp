// From the spool into memory: routing, handing over to spool/local, and spool/drop.
#include <pwd.h>

#include <algorithm>

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "message/date.h"
#include "message/header.h"
#include "message/tls_required.h"
#include "mta/relay/attempts_log.h"
#include "mta/relay/manager.h"

namespace mail::relay {

namespace {

using namespace std::chrono_literals;
constexpr std::size_t kMostDrops = 64;  // taken in at the same time
constexpr auto kNoAnswer = 60s;         // until a router or a disk that had no answer is asked again

std::uint8_t lane_of(const spool::Envelope& envelope) {
  const auto& sender = envelope.authenticated_user.empty() ? envelope.reverse_path : envelope.authenticated_user;
  return static_cast<std::uint8_t>(std::hash<std::string>{}(sender) % Lanes::kLanes);
}

std::string user_name(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  if (::getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr) return found->pw_name;
  return concat({"uid", decimal(uid)});
}

/// The envelope of a dropped message is its owner's word: what only the system can know is put down anew.
spool::Envelope adopted(const spool::Dropped& dropped, const std::string& user, const std::string& host_name,
                        const Clock& clock) {
  auto envelope = dropped.envelope;
  const auto qualify = [&](std::string& address) {
    if (!address.empty() && address.find('@') == std::string::npos) address += "@" + host_name;
  };
  envelope.id = MessageId::generate(clock);
  envelope.arrival = clock.now();
  envelope.client_name.clear();
  envelope.client_address = concat({"uid:", decimal(dropped.owner)});
  envelope.helo.clear();
  envelope.authenticated_user = user;
  envelope.protocol = "local";
  envelope.attempts = 0;
  envelope.next_attempt = {};
  envelope.tls_optional = message::tls_is_optional(dropped.content);
  qualify(envelope.reverse_path);
  for (auto& recipient : envelope.recipients) {
    qualify(recipient.forward_path);
    recipient.state = spool::RecipientState::waiting;
    recipient.user.clear();
    recipient.detail.clear();
  }
  return envelope;
}

/// Its content with a Received field in front, and what it lacks of the fields that every message has.
std::string completed(const spool::Dropped& dropped, const spool::Envelope& envelope, const std::string& host_name) {
  const auto date =
      message::format_date(message::local_time(std::chrono::floor<std::chrono::seconds>(envelope.arrival)));
  auto content = concat({"Received: by ", host_name, " (Relais, uid ", decimal(dropped.owner), ") with local\r\n\tid ",
                         envelope.id.text(), "; ", date, "\r\n"});
  const message::HeaderFields header(dropped.content);
  if (!header.find("Date")) content += concat({"Date: ", date, "\r\n"});
  if (!header.find("Message-ID")) content += concat({"Message-ID: <", envelope.id.text(), "@", host_name, ">\r\n"});
  if (!header.find("From")) content += concat({"From: <", envelope.authenticated_user, "@", host_name, ">\r\n"});
  return content + dropped.content;
}

}  // namespace

void Manager::take_in_again(const MessageId& id, std::chrono::seconds after) {
  again_.emplace(now() + static_cast<Seconds>(after.count()), CompactId(id));
}

void Manager::take_in(const MessageId& id) {
  if (known_.insert(Known(CompactId(id)))) took(id, spool::read_envelope(s_.spool, spool::Box::queue, id));
}

/// A message that is known from now on, and its envelope as it was read.
void Manager::took(const MessageId& id, Result<spool::Envelope> envelope) {
  if (!envelope) {
    if (envelope.error().kind == Error::Kind::temporary) return take_in_again(id, kNoAnswer);
    known_.erase(CompactId(id));
    if (envelope.error().kind == Error::Kind::syntax)
      (void)spool::set_aside(s_.spool, spool::Box::queue, id, envelope.error().text);
    return;
  }
  const auto time = s_.clock.now();
  if (envelope->hold_until && *envelope->hold_until > time)
    return take_in_again(id, std::chrono::ceil<std::chrono::seconds>(*envelope->hold_until - time));
  auto sorted = sort(*envelope);
  if (sorted.temporary) return take_in_again(id, kNoAnswer);
  if (sorted.moved.empty() && sorted.refused.empty() && !sorted.plain.empty()) return add_jobs(id, *envelope, sorted);

  auto opened = spool::StoredMessage::open(s_.spool, spool::Box::queue, id);
  if (!opened) {
    known_.erase(CompactId(id));
    if (opened.error().kind == Error::Kind::syntax)
      (void)spool::set_aside(s_.spool, spool::Box::queue, id, opened.error().text);
    return;
  }
  auto message = std::make_shared<spool::StoredMessage>(std::move(*opened));
  refuse(*message, sorted);
  if (!sorted.moved.empty()) return hand_over(std::move(message), std::move(sorted));
  if (!sorted.plain.empty()) add_jobs(id, message->envelope(), sorted);
  settle(std::move(message), sorted.plain.empty());
}

Manager::Sorted Manager::sort(const spool::Envelope& envelope, bool entering) {
  Sorted sorted;
  const auto& recipients = envelope.recipients;
  const route::Context context{.sender = {envelope.reverse_path, envelope.authenticated_user}, .entering = entering};
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    const auto& recipient = recipients[i];
    if (!spool::is_open(recipient.state)) continue;
    auto route = s_.router.route(recipient.forward_path, context);
    if (!route || (route->refusal && route->refusal->code < 500)) {
      sorted.temporary = true;
      continue;
    }
    if (route->refusal) {
      sorted.refused.emplace_back(i, std::move(*route->refusal));
      continue;
    }
    if (!route->expanded && route->targets.size() == 1)
      if (const auto* remote = std::get_if<route::Remote>(&route->targets[0].destination)) {
        auto hop = next_hop_of(s_.settings.relay, *remote, envelope);
        auto& entry = sorted.plain[hop.key];
        if (entry.second.empty()) entry.first = std::move(hop);
        entry.second.push_back(i);
        continue;
      }
    if (sorted.moved.empty())
      sorted.owner = route->owner;
    else if (sorted.owner != route->owner)
      sorted.owner.clear();
    sorted.moved.push_back(i);
    for (auto& target : route->targets) {
      spool::Recipient next;
      next.forward_path = target.forward_path;
      next.notify = recipient.notify;
      next.original_recipient = recipient.original_recipient;
      if (next.original_recipient.empty() && route->expanded)
        next.original_recipient =
            concat({is_ascii(recipient.forward_path) ? "rfc822;" : "utf-8;", recipient.forward_path});
      if (const auto* mailbox = std::get_if<route::LocalMailbox>(&target.destination)) {
        next.user = mailbox->user;
        next.detail = mailbox->detail;
      }
      (std::holds_alternative<route::Remote>(target.destination) ? sorted.remote : sorted.local)
          .push_back(std::move(next));
    }
  }
  return sorted;
}

void Manager::add_jobs(const MessageId& id, const spool::Envelope& envelope, const Sorted& sorted) {
  Job job;
  job.id = CompactId(id);
  job.arrival = to_seconds(envelope.arrival);
  job.next = to_seconds(envelope.next_attempt);
  job.attempts = static_cast<std::uint16_t>(std::min<std::uint32_t>(envelope.attempts, UINT16_MAX));
  job.lane = lane_of(envelope);
  job.report = envelope.reverse_path.empty() ? 1 : 0;
  job.precedence = static_cast<std::uint8_t>(std::clamp(envelope.priority, -9, 9) + 9) & 0x1fU;
  job.warned = std::ranges::none_of(envelope.recipients,
                                    [&](const spool::Recipient& r) {
                                      return r.state == spool::RecipientState::waiting &&
                                             wants_report(envelope, r, ReportAction::delayed);
                                    })
                   ? 1
                   : 0;
  if (envelope.deliver_by_return || job.warned == 0) note_deadline(envelope);
  if (sorted.plain.size() > 1)
    shared_[job.id] = {.jobs = static_cast<std::uint32_t>(sorted.plain.size()), .waiting = 0};
  for (const auto& [key, entry] : sorted.plain) enqueue(destination(entry.first), job);
}

/// Recipients that became somebody else's: a new message in local or queue, whose id is new too (a box never sees an id
/// twice).
void Manager::hand_over(std::shared_ptr<spool::StoredMessage> message, Sorted sorted) {
  auto envelope = message->envelope();
  envelope.id = MessageId::generate(s_.clock);
  envelope.attempts = 0;
  envelope.next_attempt = {};
  if (!sorted.owner.empty() && !envelope.reverse_path.empty()) envelope.reverse_path = sorted.owner;
  std::vector<spool::Entry> entries;
  const auto add = [&](spool::Box box, const std::vector<spool::Recipient>& recipients) {
    if (recipients.empty()) return;
    entries.push_back({box, envelope});
    entries.back().envelope.recipients = recipients;
  };
  add(spool::Box::local, sorted.local);
  add(spool::Box::queue, sorted.remote);
  log_event(LogLevel::info, "handed-over",
            {{"id", message->envelope().id.text()},
             {"as", envelope.id.text()},
             {"local", sorted.local.size()},
             {"remote", sorted.remote.size()}});
  auto incoming = s_.writer.begin(std::move(entries));
  incoming->append(message->content());
  begin_work(message->envelope().id);
  ++under_way_;
  spool::Incoming::commit(std::move(incoming),
                          [this, &loop = s_.loop, alive = alive_, message, sorted = std::move(sorted)](Status status) {
                            loop.post([this, alive, message, sorted, status = std::move(status)] {
                              if (!*alive) return;
                              after_hand_over(message, sorted, status);
                              end_work(message->envelope().id);
                            });
                          });
}

void Manager::after_hand_over(std::shared_ptr<spool::StoredMessage> message, const Sorted& sorted, Status status) {
  --under_way_;
  const auto id = message->envelope().id;
  if (!status) {
    log_event(LogLevel::warning, "hand-over-failed", {{"id", id.text()}, {"reason", status.error().text}});
    return take_in_again(id, kNoAnswer);
  }
  const bool all = sorted.plain.empty() && sorted.refused.empty();
  for (const auto i : sorted.moved) {
    if (all) break;  // the whole message is noted by settle()
    set_state(*message, i, spool::RecipientState::delivered);
  }
  if (!sorted.plain.empty()) add_jobs(id, message->envelope(), sorted);
  if (all) return forget(id);
  settle(std::move(message), sorted.plain.empty());
}

void Manager::refuse(spool::StoredMessage& message, const Sorted& sorted) {
  for (const auto& [i, refusal] : sorted.refused) {
    const AttemptNote note{s_.clock.now(),
                           i,
                           {},
                           refusal.enhanced,
                           concat({decimal(refusal.code), " ", refusal.enhanced, " ", refusal.text})};
    (void)spool::append_log(s_.spool, spool::Box::queue, message.envelope().id, print(note));
    log_event(LogLevel::info, "failed",
              {{"id", message.envelope().id.text()},
               {"to", message.envelope().recipients[i].forward_path},
               {"reply", note.reply}});
    set_state(message, i, spool::RecipientState::failed);
  }
}

void Manager::submit(spool::Envelope envelope, const std::string& content, Sorted sorted,
                     UniqueFunction<void(Status)> then) {
  std::vector<spool::Entry> entries;
  const auto add = [&](spool::Box box, std::vector<spool::Recipient> recipients) {
    if (recipients.empty()) return;
    entries.push_back({box, envelope});
    entries.back().envelope.recipients = std::move(recipients);
  };
  if (sorted.temporary) {
    add(spool::Box::queue, envelope.recipients);
  } else {
    // What is refused goes into the queue too: there it is refused again, and bounces.
    for (const auto& [key, entry] : sorted.plain)
      for (const auto i : entry.second) sorted.remote.push_back(envelope.recipients[i]);
    for (const auto& [i, refusal] : sorted.refused) sorted.remote.push_back(envelope.recipients[i]);
    if (!sorted.owner.empty() && sorted.moved.size() == envelope.recipients.size() && !envelope.reverse_path.empty())
      envelope.reverse_path = sorted.owner;
    add(spool::Box::local, std::move(sorted.local));
    add(spool::Box::queue, std::move(sorted.remote));
  }
  auto incoming = s_.writer.begin(std::move(entries));
  incoming->append(content);
  ++under_way_;
  auto shared = std::make_shared<UniqueFunction<void(Status)>>(std::move(then));
  spool::Incoming::commit(std::move(incoming), [this, &loop = s_.loop, alive = alive_, shared](Status status) {
    loop.post([this, alive, shared, status = std::move(status)] {
      if (!*alive) return;
      --under_way_;
      (*shared)(status);
      judge_soon();
    });
  });
}

void Manager::leave_drop(const std::string& name, std::string_view why) {
  if (!drops_refused_.insert(name).second) return;
  log_event(LogLevel::warning, "drop-left",
            {{"file", concat({s_.spool.directory(spool::Box::drop).path(), "/", name})}, {"reason", why}});
}

bool Manager::within_budget(const spool::Dropped& dropped) {
  constexpr Seconds kPeriod = 3600;
  auto& budget = budgets_[dropped.owner];
  if (now() - budget.since >= kPeriod) budget = {.since = now(), .messages = 0, .octets = 0};
  const auto& limits = s_.settings.spool;
  if (budget.messages >= limits.drop_messages_per_user ||
      budget.octets + dropped.content.size() > limits.drop_octets_per_user)
    return false;
  ++budget.messages;
  budget.octets += dropped.content.size();
  return true;
}

/// Canonical addresses in envelope and header, and who gets a copy. @return the content as it goes on
Result<std::string> Manager::rewrite(spool::Envelope& envelope, std::string_view content) {
  const auto* rewriting = s_.router.rewriting();
  if (rewriting == nullptr) return std::string(content);
  MAIL_TRY(sender, rewriting->sender(envelope.reverse_path));
  envelope.reverse_path = sender;
  const auto header = message::header_of(content);
  MAIL_TRY(rewritten, rewriting->header(header));
  if (rewriting->gives_copies()) {
    std::vector<std::string> asked;
    for (const auto& recipient : envelope.recipients) asked.push_back(recipient.forward_path);
    MAIL_TRY(copies, rewriting->copies(envelope.reverse_path, asked));
    for (auto& copy : copies) {
      auto& recipient = envelope.recipients.emplace_back(spool::Recipient{.forward_path = std::move(copy)});
      recipient.notify.never = true;
    }
  }
  return rewritten ? concat({*rewritten, content.substr(header.size())}) : std::string(content);
}

void Manager::take_drop(const std::string& name) {
  if (stopping_ || drops_under_way_.contains(name)) return;
  if (drops_under_way_.size() >= kMostDrops) {
    drops_waiting_.insert(name);
    return;
  }
  constexpr std::uint64_t kEnvelopeRoom = 1U << 20;
  auto dropped = spool::read_drop(s_.spool, name, s_.settings.smtp.message_octets + kEnvelopeRoom);
  if (!dropped) {
    if (dropped.error().kind == Error::Kind::not_found || dropped.error().kind == Error::Kind::temporary) return;
    return leave_drop(name, dropped.error().text);
  }
  if (dropped->envelope.recipients.empty()) return leave_drop(name, "no recipients");
  if (!within_budget(*dropped))
    return leave_drop(name, "its owner has dropped more than spool.drop_..._per_user allow within an hour; it waits");
  const auto user = user_name(dropped->owner);
  auto envelope = adopted(*dropped, user, host_name_, s_.clock);
  auto content = completed(*dropped, envelope, host_name_);
  auto rewritten = rewrite(envelope, content);
  if (!rewritten)
    return log_event(LogLevel::warning, "drop-waits", {{"drop", name}, {"reason", rewritten.error().text}});
  content = *std::move(rewritten);
  log_event(LogLevel::info, "taken-in",
            {{"id", envelope.id.text()},
             {"drop", name},
             {"user", user},
             {"from", envelope.reverse_path},
             {"octets", content.size()},
             {"recipients", envelope.recipients.size()}});
  auto sorted = sort(envelope, true);
  if (sorted.temporary)  // the scan finds it again
    return log_event(LogLevel::warning, "drop-waits", {{"drop", name}, {"reason", "an address cannot be looked up"}});
  drops_under_way_.insert(name);
  submit(std::move(envelope), content, std::move(sorted),
         [this, name, fingerprint = dropped->fingerprint](Status status) {
           drops_under_way_.erase(name);
           if (!drops_waiting_.empty()) take_drop(drops_waiting_.extract(drops_waiting_.begin()).value());
           if (!status) {
             log_event(LogLevel::warning, "drop-waits", {{"drop", name}, {"reason", status.error().text}});
             return;  // the scan finds it again
           }
           if (const auto id = MessageId::parse(name)) (void)s_.done.note(spool::Box::drop, *id, fingerprint);
           auto removed = s_.spool.disk().unlink(s_.spool.directory(spool::Box::drop), name);
           if (!removed && removed.error().kind != Error::Kind::not_found) leave_drop(name, removed.error().text);
         });
}

}  // namespace mail::relay
