// What `mta queue` asks of a running relay: files journal/relay/nudge.*, one order per line. And what it is told:
// relay.status.
#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "mta/relay/manager.h"
#include "mta/relay/nudge.h"

namespace mail::relay {

void Manager::read_nudges() {
  auto& disk = s_.spool.disk();
  auto directory = disk.open_directory_at(s_.spool.directory(spool::Box::journal), std::string(kNudgeDirectory));
  if (!directory) return;
  auto names = disk.list(*directory);
  if (!names) return;
  for (const auto& name : *names) {
    if (!name.starts_with(kNudgePrefix)) continue;
    auto file = disk.open(*directory, name, O_RDONLY);
    auto text = file ? read_file(file->get(), 16U << 20) : Result<std::string>(fail(Error::Kind::not_found, name));
    (void)disk.unlink(*directory, name);
    if (!text) continue;
    for (const auto line : split(*text, '\n'))
      if (!line.empty()) obey(line);
  }
}

void Manager::obey(std::string_view line) {
  const auto [order, argument] = split_once(line, ' ');
  if (order == "flush") {  // a destination, or all
    for (auto& [key, d] : destinations_) {
      if (!argument.empty() && !iequals(key, argument)) continue;
      for (auto job : d->deferred.take_if([](const Job&) { return true; })) {
        job.next = 0;
        d->ready.push(job);
      }
      d->not_before = 0;
      d->hosts_known_until = {};
      for (const auto& host : d->hosts) dead_hosts_.erase(host.address.to_string());
      s_.loop.post([this, alive = alive_, k = key] {
        const auto found = *alive ? destinations_.find(k) : destinations_.end();
        if (found == destinations_.end()) return;
        work(*found->second);
        schedule(*found->second);
      });
    }
    return;
  }
  const auto id = MessageId::parse(argument);
  if (!id) return;
  const CompactId compact(*id);
  if (order == "look") {  // its file has changed: forget what is in memory, unless it is being sent right now
    bool held = false;
    for (auto& [key, d] : destinations_) {
      const auto mine = [&](const Job& job) { return job.id == compact; };
      held = !d->ready.take_if(mine).empty() || held;
      held = !d->deferred.take_if(mine).empty() || held;
      schedule(*d);
    }
    const auto waits = std::ranges::find(again_, id->text(), &std::pair<Seconds, std::string>::second);
    if (waits != again_.end()) {
      again_.erase(waits);
      held = true;
    }
    if (held) {
      known_.erase(compact);
      shared_.erase(compact);
    }
    if (s_.spool.exists(spool::Box::queue, *id)) take_in(*id);
  }
}

void Manager::write_status() {
  constexpr Seconds kEvery = 2;
  const auto time = now();
  if (time - status_written_ < kEvery) return;
  status_written_ = time;
  std::string text;
  for (const auto& [key, d] : destinations_) {
    if (d->last_error.empty() || d->jobs() == 0) continue;
    text += concat(
        {spool::quote_word(key), " ", decimal(d->jobs()), " ", decimal(d->not_before), " ", d->last_error, "\n"});
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
