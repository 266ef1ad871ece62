// What a transaction came to: states, retries, reports, and the end of a message.
#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "message/header.h"
#include "mta/relay/attempts_log.h"
#include "mta/relay/manager.h"

namespace mail::relay {

using spool::RecipientState;

namespace {

/// Whether the message is a report on a delivery itself (RFC 3464 section 2).
bool is_delivery_report(std::string_view content) {
  const auto type = message::HeaderFields(content).find("Content-Type");
  return type && istarts_with(trim(*type), "multipart/report") &&
         ifind(*type, "delivery-status") != std::string_view::npos;
}

/// What a recipient's failure is reported with when the time is over: the last reply as it was, with its 4 at the front
/// (RFC 3463 section 2: "sending in the future may be successful"); 5.4.7 where the sender had named the time (RFC
/// 2852).
smtp::Reply last_word(const spool::Envelope& envelope, const smtp::Reply& reply) {
  constexpr std::string_view kAskedFor = "4.4.7";
  if (!envelope.deliver_by_return || reply.enhanced() != kAskedFor) return reply;
  return {554, concat({"5", std::string_view(reply.text).substr(1)})};
}

constexpr auto kNotesSettle = std::chrono::milliseconds(25);  // the done journal syncs so long after a note
constexpr unsigned kFewRemovals = 50;  // per second: so many are gone at once, and nobody lists what was just sent
}  // namespace

void Manager::set_state(spool::StoredMessage& message, std::size_t recipient, RecipientState state) {
  // The note makes it durable; the octet in the file is what everybody reads.
  if (spool::is_finished(state))
    (void)s_.done.note(spool::Box::queue, message.envelope().id, static_cast<std::uint32_t>(recipient), state);
  if (auto set = message.set_state(recipient, state); !set && set.error().kind != Error::Kind::not_found)
    log_event(LogLevel::warning, "state-failed", {{"id", message.envelope().id.text()}, {"reason", set.error().text}});
}

bool Manager::given_up(const spool::Envelope& envelope) const {
  const auto time = s_.clock.now();
  if (envelope.deliver_by && envelope.deliver_by_return && time >= *envelope.deliver_by) return true;
  return time - envelope.arrival >= give_up_after(envelope.reverse_path.empty(), envelope.priority);
}

bool Manager::warning_due(const spool::Envelope& envelope) const {
  const auto time = s_.clock.now();
  if (envelope.deliver_by && !envelope.deliver_by_return && time >= *envelope.deliver_by) return true;
  const auto after = s_.settings.relay.delay_warning;
  return after.count() > 0 && time - envelope.arrival >= after;
}

void Manager::failed_for_good(Work& work, std::size_t recipient, const std::string& host, const smtp::Reply& reply) {
  const auto& envelope = work.message.envelope();
  const AttemptNote note{s_.clock.now(), recipient, host, reply.status(), reply.line()};
  (void)spool::append_log(s_.spool, spool::Box::queue, envelope.id, print(note));
  log_event(LogLevel::info, "failed",
            {{"id", envelope.id.text()},
             {"to", envelope.recipients[recipient].forward_path},
             {"host", host},
             {"reply", concat({reply.permanent() ? "" : "given up, last: ", reply.line()})}});
  set_state(work.message, recipient, RecipientState::failed);
}

void Manager::conclude(std::shared_ptr<Work> work, const std::vector<smtp::RecipientResult>& results,
                       const std::string& host, bool dsn, std::string_view tls) {
  auto& message = work->message;
  const auto& envelope = message.envelope();
  const auto all_there = std::ranges::all_of(results, [](const auto& r) { return r.reply.positive(); });
  const bool alone =
      !shared_.contains(work->job.id) && !work->more && work->recipients.size() == envelope.recipients.size();
  bool open = false, report_success = false;
  for (std::size_t i = 0; i < work->recipients.size() && i < results.size(); ++i) {
    const auto at = work->recipients[i];
    const auto& recipient = envelope.recipients[at];
    const auto& reply = results[i].reply;
    if (reply.positive()) {
      log_event(LogLevel::info, "sent",
                {{"id", envelope.id.text()},
                 {"to", recipient.forward_path},
                 {"host", host},
                 {"tls", tls},
                 {"attempts", work->job.attempts + 1},
                 {"reply", reply.line()}});
      // A peer with DSN reports itself (RFC 3461 section 5.2.2).
      const bool ours = !dsn && wants_report(envelope, recipient, ReportAction::relayed);
      report_success = report_success || ours;
      if (!alone || !all_there || report_success)
        set_state(message, at, ours ? RecipientState::report_success : RecipientState::delivered);
      continue;
    }
    if (reply.permanent()) {
      failed_for_good(*work, at, host, reply);
      continue;
    }
    if (given_up(envelope)) {
      failed_for_good(*work, at, host, last_word(envelope, reply));
      continue;
    }
    (void)spool::append_log(s_.spool, spool::Box::queue, envelope.id,
                            print(AttemptNote{s_.clock.now(), at, host, reply.status(), reply.line()}));
    log_event(LogLevel::info, "deferred",
              {{"id", envelope.id.text()},
               {"to", recipient.forward_path},
               {"host", host},
               {"attempts", work->job.attempts + 1},
               {"reply", reply.line()}});
    open = true;
  }
  if (alone && all_there && !report_success) return forget(envelope.id);
  if (open) return defer(std::move(work));
  if (work->more) {  // the next lot of recipients, at once
    auto& d = *find_destination(work->destination);
    d.ready.push(work->job);
    s_.loop.post([this, alive = alive_, key = work->destination] {
      if (auto* const found = *alive ? find_destination(key) : nullptr) this->work(*found);
    });
    return;
  }
  job_done(std::move(work));
}

void Manager::defer(std::shared_ptr<Work> work) {
  auto job = work->job;
  if (job.attempts < UINT16_MAX) ++job.attempts;
  job.next = now() + retry_after(s_.settings.relay.retry_first, s_.settings.relay.retry_most, job.attempts);
  (void)work->message.set_retry(from_seconds(job.next), job.attempts);
  auto message = std::make_shared<spool::StoredMessage>(std::move(work->message));
  if (job.warned == 0 && warning_due(message->envelope())) {
    job.warned = 1;
    warn(message);
  }
  if (auto* const found = find_destination(work->destination)) {
    found->deferred.push(job);
    schedule(*found);
  }
  const auto sharing = shared_.find(job.id);
  // Reports go out when nothing of the message is under way any more, so that there is one bounce and not several.
  if (sharing == shared_.end() || ++sharing->second.waiting >= sharing->second.jobs) {
    if (sharing != shared_.end()) sharing->second.waiting = 0;
    settle(std::move(message), false);
  }
}

void Manager::job_done(std::shared_ptr<Work> work) {
  const auto id = work->job.id;
  auto message = std::make_shared<spool::StoredMessage>(std::move(work->message));
  const auto sharing = shared_.find(id);
  if (sharing != shared_.end()) {
    if (--sharing->second.jobs > 0) {
      if (sharing->second.waiting >= sharing->second.jobs) {
        sharing->second.waiting = 0;
        settle(std::move(message), false);
      }
      return;
    }
    shared_.erase(sharing);
  }
  settle(std::move(message), true);
}

void Manager::forget(const MessageId& id) {
  const CompactId compact(id);
  shared_.erase(compact);
  const auto noted = s_.done.note(spool::Box::queue, id);
  if (!noted) log_event(LogLevel::error, "note-failed", {{"id", id.text()}, {"reason", noted.error().text}});
  if (s_.loop.now() - removals_counted_ >= std::chrono::seconds(1)) removals_counted_ = s_.loop.now(), recent_ = 0;
  if (!noted || ++recent_ <= kFewRemovals) return removed(compact, spool::remove(s_.spool, spool::Box::queue, id));
  removals_.emplace_back(s_.done.noted(), compact);
  if (!remove_.pending()) remove_.start(kNotesSettle);
}

/// Their files serve the next messages, so the notes have to be durable first. Until then the ids stay known, or a scan
/// would find them once more.
void Manager::remove_noted() {
  for (const auto durable = s_.done.durable(); !removals_.empty() && removals_.front().first <= durable;) {
    const auto compact = removals_.front().second;
    removals_.pop_front();
    removed(compact, recycler_.remove(spool::Box::queue, compact.id()));
  }
  if (!removals_.empty()) remove_.start(kNotesSettle);
}

void Manager::removed(const CompactId& compact, const Status& status) {
  const auto id = compact.id();
  known_.erase(compact);
  if (s_.spool.exists(spool::Box::hold, id))
    (void)spool::remove(s_.spool, spool::Box::hold, id);  // held while it was being sent
  if (status)
    log_event(LogLevel::info, "removed", {{"id", id.text()}});
  else
    log_event(LogLevel::error, "remove-failed", {{"id", id.text()}, {"reason", status.error().text}});
}

std::vector<RecipientReport> Manager::reports_due(const spool::StoredMessage& message, ReportAction action) const {
  const auto& envelope = message.envelope();
  const auto notes = last_notes(spool::read_log(s_.spool, spool::Box::queue, envelope.id));
  const auto wanted_state = action == ReportAction::failed    ? RecipientState::failed
                            : action == ReportAction::delayed ? RecipientState::waiting
                                                              : RecipientState::report_success;
  std::vector<RecipientReport> reports;
  for (std::size_t i = 0; i < envelope.recipients.size(); ++i) {
    if (envelope.recipients[i].state != wanted_state) continue;
    RecipientReport report{.recipient = envelope.recipients[i], .action = action};
    // A recipient with a user of ours was mda's: in the mailbox, not handed on (RFC 3464 section 2.3.3).
    if (action == ReportAction::relayed && !report.recipient.user.empty()) report.action = ReportAction::delivered;
    report.status = action == ReportAction::failed ? "5.0.0" : action == ReportAction::delayed ? "4.0.0" : "2.0.0";
    if (const auto note = notes.find(i); note != notes.end() && action != ReportAction::relayed) {
      if (!note->second.status.empty()) report.status = note->second.status;
      report.diagnostic = note->second.reply;
      report.remote = note->second.host;
      report.last_attempt = note->second.time;
    }
    if (action == ReportAction::delayed)
      report.retry_until = envelope.arrival + give_up_after(false, envelope.priority);
    reports.push_back(std::move(report));
  }
  return reports;
}

/// Writes one report for those recipients that want it, then calls `then(true)`; nobody wants it: at once.
void Manager::report(std::shared_ptr<spool::StoredMessage> message, std::vector<RecipientReport> reports,
                     UniqueFunction<void(bool)> then) {
  auto envelope = message->envelope();
  const auto settings = report_settings();
  if (envelope.reverse_path.empty() && !reports.empty() && reports.front().action == ReportAction::failed) {
    // A bounce that cannot be delivered: the postmaster hears of it, once (RFC 5321 section 6.1).
    // A report asks that its sender hear nothing (RFC 3461 section 6); the postmaster is somebody else, and without him
    // nobody would know that the first message was lost.
    if (is_delivery_report(message->content()))
      for (auto& failed : reports) failed.recipient.notify = {};
    const bool silent = iequals(reports.front().recipient.forward_path, settings.postmaster) ||
                        std::ranges::all_of(reports, [](const auto& r) { return r.recipient.notify.never; });
    log_event(LogLevel::warning, "double-bounce",
              {{"id", envelope.id.text()},
               {"to", reports.front().recipient.forward_path},
               {"action", silent ? "dropped" : "postmaster"}});
    if (silent) return then(true);
    envelope.reverse_path = settings.postmaster;
  }
  std::erase_if(reports, [&](const RecipientReport& r) { return !wants_report(envelope, r.recipient, r.action); });
  if (reports.empty()) return then(true);
  const auto id = MessageId::generate(s_.clock);
  const auto time = s_.clock.now();
  const auto content = delivery_report(envelope, message->content(), reports, settings, id, time);
  log_event(LogLevel::info, "reported",
            {{"id", envelope.id.text()},
             {"report", id.text()},
             {"action", to_string(reports.front().action)},
             {"to", envelope.reverse_path},
             {"recipients", reports.size()}});
  begin_work(envelope.id);
  auto about = report_envelope(envelope, id, time);
  auto sorted = sort(about);
  submit(std::move(about), content, std::move(sorted),
         [this, then = std::move(then), message, id](Status status) mutable {
           if (!status)
             log_event(LogLevel::warning, "report-failed", {{"report", id.text()}, {"reason", status.error().text}});
           then(status.has_value());
           end_work(message->envelope().id);
         });
}

void Manager::settle(std::shared_ptr<spool::StoredMessage> message, bool finished) {
  const auto id = message->envelope().id;
  // Other destinations of the message may have set states since this copy was read.
  auto again = spool::StoredMessage::open(s_.spool, spool::Box::queue, id);
  if (!again) {
    if (finished) known_.erase(CompactId(id));
    return;
  }
  message = std::make_shared<spool::StoredMessage>(std::move(*again));
  for (const auto action : {ReportAction::failed, ReportAction::relayed}) {
    auto reports = reports_due(*message, action);
    if (reports.empty()) continue;
    const auto from = action == ReportAction::failed ? RecipientState::failed : RecipientState::report_success;
    const auto to = action == ReportAction::failed ? RecipientState::bounced : RecipientState::delivered;
    report(message, std::move(reports), [this, message, finished, from, to](bool done) {
      if (!done) return take_in_again(message->envelope().id, std::chrono::seconds(60));
      for (std::size_t i = 0; i < message->envelope().recipients.size(); ++i)
        if (message->envelope().recipients[i].state == from) set_state(*message, i, to);
      settle(message, finished);
    });
    return;
  }
  if (!finished) return;
  if (!message->envelope().any_open()) return forget(id);
  take_in_again(id, std::chrono::seconds(60));  // the routes have changed meanwhile
}

void Manager::warn(std::shared_ptr<spool::StoredMessage> message) {
  report(message, reports_due(*message, ReportAction::delayed), [message](bool done) {
    if (!done) return;
    for (std::size_t i = 0; i < message->envelope().recipients.size(); ++i)
      if (message->envelope().recipients[i].state == RecipientState::waiting)
        (void)message->set_state(i, RecipientState::warned);
  });
}

}  // namespace mail::relay
