// Failures of many messages at once: a destination that refuses or cannot be reached, and times that run out.
#include <algorithm>

#include "base/strings.h"
#include "mta/relay/manager.h"

namespace mail::relay {

namespace {
constexpr std::size_t kAtOnce = 50;        // then new mail and replies have their turn
constexpr std::size_t kMostReports = 200;  // on their way into the spool: each is in memory until it is there
}  // namespace

std::chrono::seconds Manager::give_up_after(bool report, int priority) const {
  const auto& relay = s_.settings.relay;
  if (report) return std::min(relay.give_up, relay.bounce_give_up);
  return priority > 0 ? std::min(relay.give_up, relay.priority_give_up) : relay.give_up;
}

/// A destination that cannot be reached: what waits too long is given up or reported late, the rest is left in peace.
void Manager::expire(Destination& d, const smtp::Reply& reply) {
  const auto time = now();
  const auto warning = s_.settings.relay.delay_warning.count();
  const auto due = [&](const Job& job) {
    const auto age = time - std::min(time, job.arrival);
    return age >= give_up_after(job.report != 0, job.precedence - 9).count() ||
           (job.warned == 0 && warning > 0 && age >= warning);
  };
  auto jobs = d.ready.take_if(due);
  for (auto& job : d.deferred.take_if(due)) jobs.push_back(job);
  judge(d, std::move(jobs), reply);
}

/// Tells each of the jobs that its attempt came to `reply`, a few at a time.
void Manager::judge(Destination& d, std::vector<Job> jobs, const smtp::Reply& reply) {
  if (jobs.empty()) return;
  d.judged += static_cast<std::uint32_t>(jobs.size());
  std::ranges::reverse(jobs);  // taken from the back
  verdicts_.push_back({d.key, std::move(jobs), reply});
  judge_soon();
}

void Manager::judge_soon() {
  if (judging_ || verdicts_.empty()) return;
  judging_ = true;
  s_.loop.post([this, alive = alive_] {
    if (*alive) judge_some();
  });
}

void Manager::judge_some() {
  judging_ = false;
  for (std::size_t i = 0; i < kAtOnce && !verdicts_.empty() && !stopping_; ++i) {
    if (under_way_ >= kMostReports) return;  // tick() goes on
    auto& verdict = verdicts_.front();
    const auto job = verdict.jobs.back();
    verdict.jobs.pop_back();
    const auto reply = verdict.reply;
    const auto key = verdict.destination;
    if (verdict.jobs.empty()) verdicts_.pop_front();
    auto& d = *find_destination(key);
    --d.judged;
    if (auto work = open_work(d, job)) {
      const std::vector<smtp::RecipientResult> results(work->recipients.size(), {reply, smtp::Stage::connect});
      conclude(std::move(work), results, {}, false, {});
    }
    drop_if_empty(key);
  }
  if (!stopping_) judge_soon();
}

/// DELIVERBY (RFC 2852): what is still here at its time is given back or reported late, whatever its destination does.
void Manager::note_deadline(const spool::Envelope& envelope) {
  if (envelope.deliver_by) deadlines_.emplace(to_seconds(*envelope.deliver_by), CompactId(envelope.id));
}

void Manager::meet_deadlines() {
  CompactIds late;
  for (const auto time = now(); !deadlines_.empty() && deadlines_.begin()->first <= time;)
    late.insert(deadlines_.extract(deadlines_.begin()).value().second);
  std::erase_if(late, [&](const CompactId& id) { return !known_.contains(id); });
  if (late.empty()) return;
  const auto mine = [&](const Job& job) { return late.contains(job.id); };
  for (const auto& [d] : destinations_) {
    auto jobs = d->ready.take_if(mine);
    for (auto& job : d->deferred.take_if(mine)) jobs.push_back(job);
    std::string text = "4.4.7 The time for delivery that was asked for is over";
    if (d->last_error) text += concat({"; last: ", Words::text(d->last_error, d->key)});
    judge(*d, std::move(jobs), {450, std::move(text)});
  }
}

}  // namespace mail::relay
