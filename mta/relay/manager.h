// The queue manager of `mta relay`: takes in spool/queue and spool/drop, hands local mail to spool/local, and sends the
// rest, destination by destination. One loop; the spool is the truth, memory holds ids and times.
#pragma once
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "config/settings.h"
#include "mta/relay/bounce.h"
#include "mta/relay/destination.h"
#include "mta/relay/flat_set.h"
#include "net/resolver.h"
#include "net/worker_pool.h"
#include "route/router.h"
#include "spool/done.h"
#include "spool/drop.h"
#include "spool/pool.h"
#include "spool/reader.h"
#include "spool/watcher.h"
#include "spool/writer.h"

namespace mail::relay {

/// What the manager works with; all of it outlives the manager.
struct Surroundings {
  net::Loop& loop;
  net::Resolver& resolver;
  const config::Settings& settings;
  const route::Router& router;
  const spool::Spool& spool;
  spool::Writer& writer;
  spool::DoneJournal& done;
  net::WorkerPool& workers;
  const Clock& clock = Clock::system();
  ClientTls tls;
};

class Manager final : public Outbound::Owner {
 public:
  explicit Manager(Surroundings surroundings);
  ~Manager() override;
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Begins to watch the spool and to read what is in it; new mail is served meanwhile.
  Status start();
  /// Takes nothing more, lets transactions under way end, then calls `done`.
  void stop(net::Task done);

  std::size_t messages() const { return known_.size(); }  ///< In memory.
  std::size_t busy() const { return under_way_; }

 private:
  /// A message being worked on: kept alive by the parcel that carries it.
  struct Work {
    spool::StoredMessage message;
    Job job;
    std::string destination;
    std::vector<std::size_t> recipients;  // positions in the envelope
    bool more = false;                    // recipients of this job were left for the next transaction
    std::string converted;                // the content, where the next host needs another form of it
  };
  struct Sharing {
    std::uint32_t jobs = 0;     // destinations that are not done
    std::uint32_t waiting = 0;  // of them, deferred: when all are, failures are reported
  };
  /// What a list of recipients becomes.
  struct Sorted {
    std::vector<spool::Recipient> local, remote;  // of a new message
    std::vector<std::size_t> moved;               // positions that the new message takes over
    std::map<std::string, std::pair<NextHop, std::vector<std::size_t>>>
        plain;  // destination key → positions that go as they are
    std::vector<std::pair<std::size_t, route::Refusal>> refused;
    std::string owner;  // reverse-path of the new message where an alias has an owner
    bool temporary = false;
  };

  // Outbound::Owner
  void on_ready(Outbound& connection) override;
  void on_result(Outbound& connection, Parcel parcel, smtp::MessageResult result) override;
  void on_over(Outbound& connection, smtp::Stage stage, smtp::Reply reply) override;

  // scan.cpp: what is in the boxes
  struct Listing;
  static Listing list_boxes(const spool::Spool& spool);
  void scan();
  void scanned(Listing listing);
  void read_backlog();
  void read_batch(std::vector<CompactId> batch);
  void look(std::vector<spool::Found> found);
  void read_fresh();

  // intake.cpp: from the spool into memory
  void take_in(const MessageId& id);
  void took(const MessageId& id, Result<spool::Envelope> envelope);
  void take_in_again(const MessageId& id, std::chrono::seconds after);
  Sorted sort(const spool::Envelope& envelope, bool entering = false);
  void add_jobs(const MessageId& id, const spool::Envelope& envelope, const Sorted& sorted);
  void hand_over(std::shared_ptr<spool::StoredMessage> message, Sorted sorted);
  void after_hand_over(std::shared_ptr<spool::StoredMessage> message, const Sorted& sorted, Status status);
  void refuse(spool::StoredMessage& message, const Sorted& sorted);
  void take_drop(const std::string& name);
  Result<std::string> rewrite(spool::Envelope& envelope, std::string_view content);
  bool within_budget(const spool::Dropped& dropped);
  void leave_drop(const std::string& name, std::string_view why);
  void submit(spool::Envelope envelope, const std::string& content, Sorted sorted, UniqueFunction<void(Status)> then);

  // dispatch.cpp: destinations and connections
  Destination& destination(const NextHop& hop);
  Destination* find_destination(std::string_view key);
  void enqueue(Destination& destination, const Job& job);
  void work(Destination& destination);
  bool rests(Destination& destination);
  void wait_for_turn(Destination& destination);
  void give_turns();
  bool turn_is_over(const Outbound& connection) const;
  void close_when_idle(Outbound& connection);
  void feed(Outbound& connection);
  std::shared_ptr<Work> open_work(Destination& destination, const Job& job);
  bool fit(Work& work, Parcel& parcel, const smtp::Offered& offered);
  std::nullopt_t abandon(Destination& destination, std::shared_ptr<Work> work);
  std::optional<Parcel> next_parcel(Destination& destination, const Outbound& connection);
  void schedule(Destination& destination);
  void drop_if_empty(const std::string& key);
  void tick();

  // hosts.cpp: where a destination's mail is sent, and what failed there
  void learned(Destination& destination, Targets targets);
  void open_connections(Destination& destination);
  void remove_connection(Destination& destination, Outbound& connection);
  struct Death {
    SteadyTime until{};
    bool for_good = false;  // it said so
  };
  const HostAddress* pick_host(const Destination& destination) const;
  const Death* death_of(const Destination& destination, const HostAddress& host) const;
  static std::string dead_here(const Destination& destination, const HostAddress& host);
  smtp::Reply verdict_of_all(const Destination& destination, smtp::Reply last) const;
  void destination_failed(Destination& destination, const smtp::Reply& reply);

  // verdict.cpp: failures of many messages at once
  std::chrono::seconds give_up_after(bool report, int priority) const;
  void expire(Destination& destination, const smtp::Reply& reply);
  void judge(Destination& destination, std::vector<Job> jobs, const smtp::Reply& reply);
  void judge_soon();
  void judge_some();
  void note_deadline(const spool::Envelope& envelope);
  void meet_deadlines();

  // outcome.cpp: what a transaction came to
  void conclude(std::shared_ptr<Work> work, const std::vector<smtp::RecipientResult>& results, const std::string& host,
                bool dsn, std::string_view tls);
  void failed_for_good(Work& work, std::size_t recipient, const std::string& host, const smtp::Reply& reply);
  void defer(std::shared_ptr<Work> work);
  void job_done(std::shared_ptr<Work> work);
  bool given_up(const spool::Envelope& envelope) const;
  bool warning_due(const spool::Envelope& envelope) const;
  /// Reports what is to be reported now, then removes the message if nothing is left to do.
  void settle(std::shared_ptr<spool::StoredMessage> message, bool finished);
  std::vector<RecipientReport> reports_due(const spool::StoredMessage& message, ReportAction action) const;
  void warn(std::shared_ptr<spool::StoredMessage> message);
  void report(std::shared_ptr<spool::StoredMessage> message, std::vector<RecipientReport> reports,
              UniqueFunction<void(bool)> then);
  void forget(const MessageId& id);
  void remove_noted();
  void removed(const CompactId& id, const Status& status);
  void set_state(spool::StoredMessage& message, std::size_t recipient, spool::RecipientState state);

  // nudge.cpp: operators' commands
  using CompactIds = std::unordered_set<CompactId, CompactIdHash>;
  void read_nudges();
  void flush(std::string_view wanted, bool for_peer);
  std::string key_of_route(std::string_view wanted) const;
  void look_again(CompactIds changed);
  /// Between these two a message is not read anew.
  void begin_work(const MessageId& id);
  void end_work(const MessageId& id);
  void write_status();

  std::size_t connection_count() const { return connection_count_; }
  Seconds now() const { return to_seconds(s_.clock.now()); }
  ReportSettings report_settings() const;

  Surroundings s_;
  OutboundSettings outbound_;
  TargetRules rules_;
  std::unique_ptr<StsPolicies> sts_;  // where MTA-STS is on
  std::string host_name_;
  std::optional<spool::Watcher> watcher_;
  std::unique_ptr<net::Watch> watch_;
  UniqueFd nudge_inotify_;
  std::unique_ptr<net::Watch> nudge_watch_;
  net::Timer tick_, scan_, remove_;
  bool stopping_ = false;
  net::Task stopped_;

  /// What is under way for a message: transactions, reports, hand-overs.
  struct Busy {
    unsigned count = 0;
    bool look = false;  ///< Read it anew when all is over: an operator has changed it.
  };
  std::unordered_map<CompactId, Busy, CompactIdHash> busy_;
  struct Known {
    CompactId id;
    bool used = true;
    Known() : used(false) {}
    explicit Known(const CompactId& i) : id(i) {}
    const CompactId& key() const { return id; }
    static std::size_t hash(const CompactId& id) { return CompactIdHash{}(id); }
    explicit operator bool() const { return used; }
  };
  FlatSet<Known> known_;
  std::unordered_map<CompactId, Sharing, CompactIdHash> shared_;  // messages with several destinations
  std::deque<CompactId> fresh_;                                   // came just now, not looked at yet
  bool reading_ = false;                                          // read_fresh() is about to run
  std::vector<CompactId> backlog_;  // found by a scan, not looked at yet from backlog_at_ on
  std::size_t backlog_at_ = 0;
  std::size_t backlog_read_ = 0;  // of it, not known before
  unsigned batches_ = 0;          // of it, that workers read now
  bool scanning_ = false, scan_again_ = false;
  std::set<std::pair<Seconds, CompactId>> again_;  // messages to take in later: held, or the router had no answer
  spool::Recycler recycler_;
  /// Done, and still known: their files go when the notes, which these numbers stand for, are durable.
  std::deque<std::pair<std::uint64_t, CompactId>> removals_;
  SteadyTime removals_counted_{};
  unsigned recent_ = 0;  // since then
  std::set<std::string> drops_under_way_, drops_waiting_, drops_refused_;
  /// What an owner of drop files may still bring within the hour.
  struct Budget {
    Seconds since = 0;
    std::size_t messages = 0;
    std::uint64_t octets = 0;
  };
  std::unordered_map<uid_t, Budget> budgets_;
  struct KnownDestination {
    std::unique_ptr<Destination> destination;
    std::string_view key() const { return destination->key; }
    static std::size_t hash(std::string_view key) { return std::hash<std::string_view>{}(key); }
    explicit operator bool() const { return destination != nullptr; }
  };
  FlatSet<KnownDestination> destinations_;
  TimeTable time_table_;
  Words words_;
  std::deque<Destination*> waiting_;  // those that want a connection or a look-up while there are too many
  bool turns_given_ = false;          // give_turns() is about to run
  std::size_t lookups_ = 0;
  std::unordered_set<std::string> resting_;  // destinations whose rate lets nothing go
  /// Jobs that are to be told that they failed.
  struct Verdict {
    std::string destination;
    std::vector<Job> jobs;
    smtp::Reply reply;
  };
  std::deque<Verdict> verdicts_;
  bool judging_ = false;
  std::set<std::pair<Seconds, CompactId>> deadlines_;  // DELIVERBY
  std::unordered_map<std::string, Death> dead_hosts_;  // by HostAddress::text() or dead_here()
  std::unordered_map<const Outbound*, std::pair<Destination*, SteadyTime>> connections_;
  std::size_t connection_count_ = 0;
  std::size_t under_way_ = 0;  // parcels and submissions without an answer yet
  Seconds status_written_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  net::WorkerPool readers_{2};  // of the backlog: behind the mail that comes now. Last: its jobs end first
};

}  // namespace mail::relay
