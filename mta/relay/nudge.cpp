// What `mta queue` and `mta serve` ask of a running relay (spool/nudge.h). And what they are told: relay.status.
#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "mta/relay/manager.h"
#include "mta/relay/status_file.h"
#include "spool/nudge.h"

namespace mail::relay {

void Manager::read_nudges() {
  CompactIds changed;
  for (const auto& order : spool::take_nudges(s_.spool)) {
    const auto [word, argument] = split_once(order, ' ');
    if (word == "flush" || word == "etrn") flush(argument, word == "etrn");
    if (word == "look")
      if (const auto id = MessageId::parse(argument)) changed.insert(CompactId(*id));
  }
  if (!changed.empty()) look_again(changed);
}

/// The queue of a route, where a domain has one; else empty.
std::string Manager::key_of_route(std::string_view domain) const {
  if (domain.empty() || domain.starts_with('@')) return {};
  const auto route = s_.router.route(concat({"postmaster@", domain}));
  if (!route || route->targets.size() != 1) return {};
  const auto* remote = std::get_if<route::Remote>(&route->targets[0].destination);
  return remote == nullptr ? std::string() : next_hop(s_.settings.relay, *remote).key;
}

/// @param wanted  empty: all; a domain; `@domain`: and those below it; the key of a destination
void Manager::flush(std::string_view wanted, bool for_peer) {
  constexpr Seconds kPeerMayAsk = 60;  // the answer of a dead host does not change faster
  const auto by_route = key_of_route(wanted);
  const auto is_named = [&](std::string_view name) {
    return spool::flush_names(wanted, name) || (!by_route.empty() && iequals(name, by_route));
  };
  for (const auto& [d] : destinations_) {
    if (!is_named(d->name())) continue;
    if (!wanted.empty()) {
      if (!d->particulars) d->particulars = std::make_unique<Destination::Particulars>();
      if (for_peer && now() - d->particulars->flushed < kPeerMayAsk) continue;
      d->particulars->flushed = now();
    }
    for (auto job : d->deferred.take_if([](const Job&) { return true; })) {
      job.next = 0;
      d->ready.push(job);
    }
    d->not_before = 0;
    if (d->awake) {
      d->awake->hosts_known_until = {};
      for (const auto& host : d->awake->hosts) {
        dead_hosts_.erase(host.text());
        dead_hosts_.erase(dead_here(*d, host));
      }
    }
    s_.loop.post([this, alive = alive_, key = d->key] {
      auto* const found = *alive ? find_destination(key) : nullptr;
      if (found == nullptr) return;
      work(*found);
      schedule(*found);
    });
  }
}

/// Their files have changed: forgets what is in memory and reads them anew. What is being sent or reported right now
/// has its turn when that is over, so that nothing is sent twice.
void Manager::look_again(CompactIds changed) {
  std::erase_if(changed, [&](const CompactId& id) {
    const auto busy = busy_.find(id);
    if (busy == busy_.end()) return false;
    busy->second.look = true;
    return true;
  });
  const auto mine = [&](const Job& job) { return changed.contains(job.id); };
  for (const auto& [d] : destinations_) {
    const auto before = d->jobs();
    for (const auto& jobs : {d->ready.take_if(mine), d->deferred.take_if(mine)})
      for (const auto& job : jobs) known_.erase(job.id);
    if (d->jobs() == before) continue;
    schedule(*d);
    s_.loop.post([this, alive = alive_, key = d->key] {
      if (*alive) drop_if_empty(key);
    });
  }
  for (auto& verdict : verdicts_) {
    const auto gone = std::erase_if(verdict.jobs, [&](const Job& job) {
      if (mine(job)) known_.erase(job.id);
      return mine(job);
    });
    find_destination(verdict.destination)->judged -= static_cast<std::uint32_t>(gone);
  }
  std::erase_if(verdicts_, [](const Verdict& verdict) { return verdict.jobs.empty(); });
  std::erase_if(again_,
                [&](const auto& entry) { return changed.contains(entry.second) && known_.erase(entry.second); });
  for (const auto& id : changed) {
    if (!known_.contains(id)) shared_.erase(id);
    fresh_.push_back(id);
  }
  if (!reading_) read_fresh();
}

void Manager::begin_work(const MessageId& id) { ++busy_[CompactId(id)].count; }

void Manager::end_work(const MessageId& id) {
  const auto found = busy_.find(CompactId(id));
  if (found == busy_.end() || --found->second.count > 0) return;
  const bool look = found->second.look;
  busy_.erase(found);
  if (!look) return;
  s_.loop.post([this, alive = alive_, compact = CompactId(id)] {
    if (*alive) look_again({compact});
  });
}

void Manager::write_status() {
  constexpr Seconds kEvery = 2;
  constexpr std::size_t kMoreEvery = 2000;  // destinations: a long list is written more rarely
  const auto time = now();
  if (time - status_written_ < kEvery + destinations_.size() / kMoreEvery) return;
  status_written_ = time;
  std::string text;
  for (const auto& [d] : destinations_) {
    if (!d->last_error || d->jobs() == 0) continue;
    text += concat({spool::quote_word(d->key), " ", decimal(d->jobs()), " ", decimal(d->not_before), " ",
                    Words::text(d->last_error, d->key), "\n"});
  }
  static thread_local std::string last;
  if (text == last) return;
  last = text;
  auto& disk = s_.spool.disk();
  const auto name = std::string(kStatusFile);
  auto file = disk.open(s_.spool.root(), name + ".new", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (!file || !disk.write(file->get(), text)) return;
  (void)disk.rename(s_.spool.root(), name + ".new", s_.spool.root(), name);
}

}  // namespace mail::relay
