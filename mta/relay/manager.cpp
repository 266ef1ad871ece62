#include "mta/relay/manager.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "base/freed.h"
#include "base/log.h"
#include "base/strings.h"

namespace mail::relay {

namespace {

using namespace std::chrono_literals;
constexpr auto kTick = 500ms;

std::vector<IpAddress> addresses_of_this_host() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, Freed<::freeifaddrs>> owner(list);
  std::vector<IpAddress> found;
  for (const auto* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    if (at->ifa_addr->sa_family == AF_INET)
      found.push_back(net::SocketAddress::from(at->ifa_addr, sizeof(sockaddr_in)).ip);
    if (at->ifa_addr->sa_family == AF_INET6)
      found.push_back(net::SocketAddress::from(at->ifa_addr, sizeof(sockaddr_in6)).ip);
  }
  return found;
}

}  // namespace

Manager::Manager(Surroundings surroundings)
    : s_(std::move(surroundings)),
      host_name_(config::host_name(s_.settings)),
      tick_(s_.loop, [this] { tick(); }),
      scan_(s_.loop, [this] { scan(); }),
      remove_(s_.loop, [this] { remove_noted(); }),
      recycler_(s_.spool, "serve") {
  const auto& relay = s_.settings.relay;
  outbound_.host_name = host_name_;
  outbound_.connect_timeout = relay.connect_timeout;
  outbound_.command_timeout = relay.command_timeout;
  outbound_.data_timeout = relay.data_timeout;
  outbound_.tls = s_.tls;
  outbound_.source = relay.source_address;
  rules_.own_name = host_name_;
  rules_.own_addresses = addresses_of_this_host();
  rules_.private_targets = relay.private_targets;
  if (!relay.mta_sts) return;
  sts_ = std::make_unique<StsPolicies>(StsPolicies::Surroundings{.loop = s_.loop,
                                                                 .resolver = s_.resolver,
                                                                 .workers = s_.workers,
                                                                 .settings = relay,
                                                                 .tls = s_.tls,
                                                                 .directory = s_.spool.path() + "/mta-sts",
                                                                 .clock = s_.clock});
  rules_.sts = sts_.get();
}

Manager::~Manager() { *alive_ = false; }

Status Manager::start() {
  MAIL_TRY(watcher, spool::Watcher::open(s_.spool, {spool::Box::queue, spool::Box::drop}));
  watcher_.emplace(std::move(watcher));
  if (watcher_->fd() >= 0)
    watch_ = std::make_unique<net::Watch>(s_.loop, watcher_->fd(), net::Watch::For::reading, [this] {
      bool overflow = false;
      if (auto found = watcher_->read(&overflow)) look(std::move(*found));
      if (overflow) scan();
    });
  const auto nudges = s_.spool.directory(spool::Box::journal).path() + "/relay";
  nudge_inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (nudge_inotify_ && ::inotify_add_watch(nudge_inotify_.get(), nudges.c_str(), IN_MOVED_TO) >= 0)
    nudge_watch_ = std::make_unique<net::Watch>(s_.loop, nudge_inotify_.get(), net::Watch::For::reading, [this] {
      char buffer[4096];
      while (::read(nudge_inotify_.get(), buffer, sizeof buffer) > 0) {
      }
      read_nudges();
    });
  read_nudges();
  scan();
  tick_.repeat(kTick);
  return {};
}

void Manager::stop(net::Task done) {
  stopping_ = true;
  stopped_ = std::move(done);
  watch_.reset();
  nudge_watch_.reset();
  scan_.cancel();
  tick();
}

ReportSettings Manager::report_settings() const {
  const auto& postmaster = s_.settings.host.postmaster;
  return {.host_name = host_name_,
          .postmaster = postmaster.find('@') == std::string::npos ? concat({postmaster, "@", host_name_}) : postmaster};
}

void Manager::tick() {
  const auto time = now();
  while (!again_.empty() && again_.begin()->first <= time) {
    known_.erase(again_.begin()->second);
    fresh_.push_back(again_.begin()->second);
    again_.erase(again_.begin());
  }
  if (!reading_) read_fresh();
  while (auto* destination = stopping_ ? nullptr : time_table_.due(time)) {
    work(*destination);
    schedule(*destination);
  }
  meet_deadlines();
  judge_soon();
  for (const auto& key : std::exchange(resting_, {})) {
    auto* const found = find_destination(key);
    if (found == nullptr) continue;
    work(*found);
    drop_if_empty(key);
  }
  std::erase_if(dead_hosts_, [&](const auto& host) { return host.second.until <= s_.loop.now(); });
  // Connections that nobody has used for a while are given back.
  constexpr auto kIdle = 2s;
  std::vector<Outbound*> idle;
  for (auto& [connection, entry] : connections_) {
    if (connection->under_way() > 0 || !connection->can_send()) continue;
    if (stopping_ || s_.loop.now() - entry.second > kIdle) idle.push_back(const_cast<Outbound*>(connection));
  }
  for (auto* connection : idle)
    if (connections_.contains(connection)) connection->close();
  if (time != status_written_ && !stopping_) write_status();
  if (stopping_ && under_way_ == 0 && stopped_) {
    if (!removals_.empty() && s_.done.sync()) remove_noted();
    auto done = std::move(stopped_);
    stopped_ = nullptr;
    done();
  }
}

}  // namespace mail::relay
