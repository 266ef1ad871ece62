#include "mda/local_queue.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "base/priority.h"
#include "base/strings.h"

namespace mail::mda {
namespace {

using spool::Box;
using spool::RecipientState;

constexpr std::chrono::seconds kScan{60};  // where there is no inotify, and for what it missed
constexpr int kTickMilliseconds = 1000;    // how late a retry may begin
/// Mail that comes one upon the other is taken together: each turn costs switches of threads that whoever sends it
/// would wait for. The first one after a pause waits for nothing.
constexpr std::chrono::milliseconds kGather{2};

/// A line of ID.log in relay's words: seconds, the recipient's position, host ("-": this one), status, reply.
std::string log_line(WallTime time, std::size_t recipient, const Outcome& outcome) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  const auto code = outcome.kind == Outcome::Kind::temporary ? "450 " : "550 ";
  return concat({decimal(seconds), " ", decimal(recipient), " - ", outcome.status, " ", code, outcome.status, " ",
                 printable(outcome.text)});
}

/// The same line for a recipient that has another position in a message of its own; nothing where it is another
/// recipient's.
std::optional<std::string> renumbered(std::string_view line, std::size_t from, std::size_t to) {
  const auto [time, rest] = split_once(line, ' ');
  const auto [position, tail] = split_once(rest, ' ');
  if (parse_decimal<std::size_t>(position) != from) return std::nullopt;
  return concat({time, " ", decimal(to), " ", tail});
}

bool needs_report(RecipientState state) {
  return state == RecipientState::failed || state == RecipientState::report_success;
}

}  // namespace

/// One message of a batch.
struct LocalQueue::Job {
  MessageId id;
  std::optional<spool::StoredMessage> message;
  spool::Envelope envelope;             // with the states as they become
  std::vector<std::size_t> recipients;  // of the item's addressees: their positions in the envelope
  std::vector<std::string> log;         // lines for ID.log
  std::vector<std::size_t> settled;     // recipients whose state is not written yet
  bool earlier = false;                 // it may have been tried before
  bool flush_failed = false;            // it was delivered, and could not be made durable
};

LocalQueue::LocalQueue(const config::Settings& settings, const spool::Spool& spool, Agent& agent, spool::Writer& writer,
                       spool::DoneJournal& done, const Clock& clock)
    : settings_(settings),
      spool_(spool),
      agent_(agent),
      writer_(writer),
      done_(done),
      clock_(clock),
      served_(spool, "serve"),
      own_(spool, "mda"),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

LocalQueue::~LocalQueue() { stop(); }

Status LocalQueue::start(unsigned workers) {
  // What lies in the box is safe, and its sender has his answer: those who still wait for theirs come first.
  const auto behind = [this](void (LocalQueue::*loop)()) {
    return std::thread([this, loop] {
      give_way();
      (this->*loop)();
    });
  };
  settling_thread_ = behind(&LocalQueue::settle_loop);
  threads_.push_back(behind(&LocalQueue::watch));
  for (unsigned i = 0; i < workers; ++i) threads_.push_back(behind(&LocalQueue::work));
  return {};
}

void LocalQueue::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  ready_changed_.notify_all();
  wake();
  unflushed_changed_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  {
    const std::scoped_lock lock(unflushed_mutex_);
    settling_ends_ = true;
  }
  unflushed_changed_.notify_all();
  if (settling_thread_.joinable()) settling_thread_.join();
}

void LocalQueue::wake() {
  const std::uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof one) < 0) return;  // full: it is awake already
}

void LocalQueue::found(std::span<const MessageId> ids) {
  bool wake_one = false;
  {
    const std::scoped_lock lock(mutex_);
    const bool waited_for = ready_.empty();
    for (const auto& id : ids)
      if (known_.insert(id).second) ready_.push_back(id);
    // Those that are there already woke somebody, who is gathering.
    wake_one = !ready_.empty() && (waited_for || take_now());
  }
  if (wake_one) ready_changed_.notify_one();
}

void LocalQueue::later(const MessageId& id, WallTime when) {
  const std::scoped_lock lock(mutex_);
  waiting_.emplace(when, id);
}

void LocalQueue::forget(const MessageId& id) {
  const std::scoped_lock lock(mutex_);
  known_.erase(id);
  repeated_.erase(id);
}

void LocalQueue::scan() {
  auto ids = spool_.list(Box::local);
  if (!ids) return log_event(LogLevel::error, "local_scan_failed", {{"text", ids.error().text}});
  std::ranges::sort(*ids);  // oldest first
  found(*ids);
}

void LocalQueue::watch() {
  auto watcher = spool::Watcher::open(spool_, {Box::local});
  if (!watcher) log_event(LogLevel::warning, "local_watch_failed", {{"text", watcher.error().text}});
  scan();
  auto next_scan = clock_.steady() + kScan;
  for (;;) {
    pollfd fds[2] = {{wake_.get(), POLLIN, 0}, {watcher ? watcher->fd() : -1, POLLIN, 0}};
    poll(fds, 2, kTickMilliseconds);
    {
      const std::scoped_lock lock(mutex_);
      if (stopping_) return;
      const auto now = clock_.now();
      while (!waiting_.empty() && waiting_.begin()->first <= now) {
        ready_.push_back(waiting_.begin()->second);
        waiting_.erase(waiting_.begin());
        ready_changed_.notify_one();
      }
    }
    if (watcher && fds[1].revents != 0) {
      const auto names = watcher->read();
      std::vector<MessageId> ids;
      if (names)
        for (const auto& name : *names)
          if (auto id = MessageId::parse(name.name)) ids.push_back(*std::move(id));
      found(ids);
      std::this_thread::sleep_for(kGather);
    }
    if (clock_.steady() >= next_scan) scan(), next_scan = clock_.steady() + kScan;
  }
}

std::vector<MessageId> LocalQueue::take() {
  std::vector<MessageId> ids;
  const auto most = std::max<std::size_t>(settings_.mda.batch, 1);
  while (!ready_.empty() && ids.size() < most) {
    ids.push_back(std::move(ready_.front()));
    ready_.pop_front();
  }
  return ids;
}

/// With the mutex held: whether what is ready shall not wait for more.
bool LocalQueue::take_now() const {
  return stopping_ || ready_.size() >= settings_.mda.batch || std::chrono::steady_clock::now() >= gathered_until_;
}

void LocalQueue::work() {
  for (;;) {
    std::vector<MessageId> ids;
    {
      std::unique_lock lock(mutex_);
      ready_changed_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
      ready_changed_.wait_until(lock, gathered_until_, [this] { return take_now(); });
      if (stopping_) return;
      ids = take();
      gathered_until_ = std::chrono::steady_clock::now() + kGather;
      if (!ready_.empty()) ready_changed_.notify_one();
    }
    if (ids.empty()) continue;  // another worker took them
    try {
      process(ids);
    } catch (const std::bad_alloc&) {
      log_event(LogLevel::error, "no_memory");
      for (const auto& id : ids) later(id, clock_.now() + settings_.mda.retry_first);
    }
  }
}

Result<std::size_t> LocalQueue::run_once() {
  MAIL_TRY(all, spool_.list(Box::local));
  std::ranges::sort(all);
  found(all);
  for (;;) {
    std::vector<MessageId> ids;
    {
      const std::scoped_lock lock(mutex_);
      const auto now = clock_.now();
      while (!waiting_.empty() && waiting_.begin()->first <= now) {
        ready_.push_back(waiting_.begin()->second);
        waiting_.erase(waiting_.begin());
      }
      ids = take();
      if (ids.empty() && unflushed_.messages.empty()) return waiting_.size();
    }
    if (ids.empty())
      flush_unflushed();
    else
      process(ids);
  }
}

/// @return false where there is nothing to deliver now.
bool LocalQueue::open(const MessageId& id, Job& job) {
  auto message = spool::StoredMessage::open(spool_, Box::local, id);
  if (!message) {
    const auto& error = message.error();
    if (error.kind == Error::Kind::not_found) return forget(id), false;
    if (error.kind == Error::Kind::syntax) {
      if (const auto aside = spool::set_aside(spool_, Box::local, id, error.text); !aside)
        log_event(LogLevel::error, "set_aside_failed", {{"id", id.text()}, {"text", aside.error().text}});
      return forget(id), false;
    }
    log_event(LogLevel::error, "local_read_failed", {{"id", id.text()}, {"text", error.text}});
    return later(id, clock_.now() + settings_.mda.retry_first), false;
  }
  job.id = id;
  job.envelope = message->envelope();
  if (job.envelope.next_attempt > clock_.now()) return later(id, job.envelope.next_attempt), false;
  job.message.emplace(std::move(*message));
  const std::scoped_lock lock(mutex_);
  job.flush_failed = repeated_.contains(id);
  return true;
}

void LocalQueue::process(const std::vector<MessageId>& ids) {
  std::vector<Job> jobs;
  std::vector<Item> items;
  jobs.reserve(ids.size());
  for (const auto& id : ids) {
    Job job;
    if (!open(id, job)) continue;
    // What lay here before this process may have been delivered by the one before it, killed before it could say so.
    job.earlier = job.envelope.attempts > 0 || job.envelope.arrival <= started_ + std::chrono::seconds(2);
    const bool placed = job.earlier && done_.was_placed(Box::local, id);
    Item item{.content = {},
              .reverse_path = job.envelope.reverse_path,
              .received = {},
              .addressees = {},
              .account = job.envelope.authenticated_user,
              .repeated = job.earlier || job.flush_failed,
              .require_tls = job.envelope.require_tls,
              .smtputf8 = job.envelope.smtputf8};
    for (std::size_t i = 0; i < job.envelope.recipients.size(); ++i) {
      const auto& recipient = job.envelope.recipients[i];
      if (!is_open(recipient.state)) continue;
      job.recipients.push_back(i);
      item.addressees.push_back(
          {recipient.forward_path, recipient.user, recipient.detail, "", concat({id.text(), "-", decimal(i)}), placed});
    }
    jobs.push_back(std::move(job));
    item.content = jobs.back().message->content();
    items.push_back(std::move(item));
  }
  store::Unflushed unflushed;
  auto outcomes = agent_.deliver(items, unflushed);
  std::vector<bool> put_off(jobs.size());
  bool flush = false;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    put_off[i] = may_put_off(jobs[i], outcomes[i]);
    flush = flush || (!put_off[i] && std::ranges::any_of(outcomes[i], [](const auto& o) { return !o.flushed; }));
  }
  if (flush) flush_now(outcomes, unflushed);
  Unflushed later;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (flush || !put_off[i]) {
      settle(jobs[i], outcomes[i]);
      continue;
    }
    for (std::size_t k = 0; k < outcomes[i].size(); ++k) record(jobs[i], jobs[i].recipients[k], outcomes[i][k]);
    later.messages.push_back({jobs[i].id, jobs[i].message->file_octets(), jobs[i].envelope.protocol.starts_with("LMTP"),
                              jobs[i].earlier || !jobs[i].log.empty()});
    later.octets += items[i].content.size();
  }
  later.places = std::move(unflushed);
  if (later.messages.empty()) return;
  static_cast<void>(done_.note_placed(Box::local, later.ids()));  // a hint
  add_unflushed(std::move(later));
}

/// Whether nothing is left of the message but its flush. What has something to report, to try again, or would not find
/// itself when it is repeated, is flushed at once.
bool LocalQueue::may_put_off(const Job& job, const std::vector<Outcome>& outcomes) {
  std::size_t next = 0;
  bool any = false;
  for (std::size_t i = 0; i < job.envelope.recipients.size(); ++i) {
    const auto& recipient = job.envelope.recipients[i];
    if (next == job.recipients.size() || job.recipients[next] != i) {
      if (!is_finished(recipient.state)) return false;
      continue;
    }
    const auto& outcome = outcomes[next++];
    if (!outcome.ok() || outcome.once || recipient.notify.success) return false;
    any = any || !outcome.flushed;
  }
  return any;
}

void LocalQueue::flush_now(std::vector<std::vector<Outcome>>& outcomes, store::Unflushed& unflushed) {
  const auto flushed = agent_.flush(std::exchange(unflushed, {}));
  for (auto& row : outcomes)
    for (auto& outcome : row)
      if (!std::exchange(outcome.flushed, true) && !flushed) outcome = worse(outcome, outcome_of(flushed.error()));
}

void LocalQueue::record(Job& job, std::size_t recipient, const Outcome& outcome) {
  auto& to = job.envelope.recipients[recipient];
  const auto age = clock_.now() - job.envelope.arrival;
  const bool give_up = outcome.kind == Outcome::Kind::temporary && age > settings_.mda.give_up;
  const auto event = outcome.ok()                                          ? "delivered"
                     : outcome.kind == Outcome::Kind::permanent || give_up ? "delivery_failed"
                                                                           : "delivery_deferred";
  log_event(outcome.ok() ? LogLevel::info : LogLevel::warning, event,
            {{"id", job.id.text()},
             {"to", to.forward_path},
             {"user", to.user},
             {"status", outcome.status},
             {"text", outcome.text},
             {"delay_ms", std::chrono::duration_cast<std::chrono::milliseconds>(age).count()}});
  if (outcome.ok()) {
    to.state = to.notify.success ? RecipientState::report_success : RecipientState::delivered;
  } else {
    if (outcome.kind == Outcome::Kind::permanent || give_up) to.state = RecipientState::failed;
    job.log.push_back(log_line(clock_.now(), recipient, outcome));
  }
  if (!is_open(to.state)) job.settled.push_back(recipient);
}

/// For a message that stays: what is finished must not be done again.
void LocalQueue::write_states(Job& job) {
  for (const auto recipient : job.settled) {
    const auto state = job.envelope.recipients[recipient].state;
    static_cast<void>(job.message->set_state(recipient, state));
    static_cast<void>(done_.note(Box::local, job.id, static_cast<std::uint32_t>(recipient), state));
  }
  job.settled.clear();
}

/// Failures and success reports go to relay as a message of their own, with these recipients and their states.
Status LocalQueue::hand_over(Job& job) {
  spool::Envelope report = job.envelope;
  report.recipients.clear();
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < job.envelope.recipients.size(); ++i) {
    if (!needs_report(job.envelope.recipients[i].state)) continue;
    positions.push_back(i);
    report.recipients.push_back(job.envelope.recipients[i]);
    // With its user a success is reported as a delivery, not as handed on.
    if (report.recipients.back().state != RecipientState::report_success) report.recipients.back().user.clear();
    report.recipients.back().detail.clear();
  }
  if (positions.empty()) return {};
  report.id = MessageId::generate(clock_);
  report.next_attempt = {}, report.attempts = 0;
  // The reasons lie there before the message does.
  const auto history = spool::read_log(spool_, Box::local, job.id);
  std::vector<std::string> lines;
  for (const auto line : split(history, '\n')) lines.emplace_back(line);
  lines.insert(lines.end(), job.log.begin(), job.log.end());
  for (const auto& line : lines)
    for (std::size_t k = 0; k < positions.size(); ++k)
      if (const auto own = renumbered(line, positions[k], k))
        static_cast<void>(spool::append_log(spool_, Box::queue, report.id, *own));
  MAIL_CHECK(writer_.put({{Box::queue, report}}, job.message->content()));
  log_event(LogLevel::info, "handed_over", {{"id", job.id.text()}, {"as", report.id.text()}});
  for (std::size_t i = 0; i < job.envelope.recipients.size(); ++i) {
    auto& state = job.envelope.recipients[i].state;
    if (!needs_report(state)) continue;
    state = state == RecipientState::failed ? RecipientState::bounced : RecipientState::delivered;
    job.settled.push_back(i);
  }
  return {};
}

void LocalQueue::settle(Job& job, const std::vector<Outcome>& outcomes) {
  for (std::size_t i = 0; i < outcomes.size(); ++i) record(job, job.recipients[i], outcomes[i]);
  if (const auto status = hand_over(job); !status)
    log_event(LogLevel::error, "hand_over_failed", {{"id", job.id.text()}, {"text", status.error().text}});
  finish(job);
}

void LocalQueue::finish(Job& job) {
  if (std::ranges::all_of(job.envelope.recipients,
                          [](const auto& recipient) { return is_finished(recipient.state); })) {
    auto status = done_.note(Box::local, job.id);
    if (status) status = spool::remove(spool_, Box::local, job.id);
    if (status) return forget(job.id);
    log_event(LogLevel::error, "local_remove_failed", {{"id", job.id.text()}, {"text", status.error().text}});
  }
  write_states(job);
  for (const auto& line : job.log) static_cast<void>(spool::append_log(spool_, Box::local, job.id, line));
  const auto attempts = job.envelope.attempts + 1;
  const auto wait = std::min<std::chrono::seconds>(settings_.mda.retry_first * (1LL << std::min(attempts - 1, 16U)),
                                                   settings_.mda.retry_most);
  const auto when = clock_.now() + wait;
  static_cast<void>(job.message->set_retry(when, attempts));
  later(job.id, when);
}

}  // namespace mail::mda
