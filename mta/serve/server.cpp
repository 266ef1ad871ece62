#include "mta/serve/server.h"

#include <sys/statvfs.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "directory/from_settings.h"
#include "mta/serve/client.h"
#include "route/from_settings.h"
#include "spool/nudge.h"

namespace mail::mta {

SmtpServer::SmtpServer(net::Service& service, std::unique_ptr<directory::Directory> directory,
                       std::unique_ptr<spool::Spool> spool, std::unique_ptr<spool::Writer> writer, const Clock& clock)
    : service_(service),
      clock_(clock),
      directory_(std::move(directory)),
      throttle_(directory::throttle_from(service.settings().auth), clock),
      policy_(directory::policy_from(service.settings(), *directory_)),
      router_(*directory_, route::options_from(service.settings())),
      spool_(std::move(spool)),
      writer_(std::move(writer)) {
  for (const auto of : {Service::smtp, Service::submission, Service::submissions})
    session_settings_[static_cast<std::size_t>(of)] = std::make_unique<smtp::ServerSettings>(
        session_settings(service.settings(), of, policy_, service.tls() != nullptr));
}

SmtpServer::~SmtpServer() = default;

/// Under inetd there is a process per connection: each has the first journal that no other one uses.
static Result<std::unique_ptr<spool::Writer>> open_writer(const spool::Spool& spool,
                                                          const spool::WriterOptions& options, bool inetd) {
  if (!inetd) return spool::Writer::open(spool, "serve", options);
  constexpr int kMostProcesses = 200;
  for (int number = 1;; ++number) {
    auto writer = spool::Writer::open(spool, concat({"inetd", decimal(number)}), options);
    if (writer || writer.error().kind != Error::Kind::refused || number == kMostProcesses) return writer;
  }
}

Result<std::unique_ptr<SmtpServer>> SmtpServer::open(net::Service& service, bool inetd, const Clock& clock) {
  const auto& settings = service.settings();
  MAIL_TRY(directory, directory::Directory::open(directory::options_from(settings), clock));
  MAIL_TRY(opened, spool::Spool::open(settings.spool.directory));
  auto spool = std::make_unique<spool::Spool>(std::move(opened));
  spool::WriterOptions options;
  options.small_message_octets = settings.spool.journal_message;
  options.segment_octets = settings.spool.journal_segment;
  MAIL_TRY(writer, open_writer(*spool, options, inetd));
  MAIL_TRY(policy, Policy::open(settings, service.workers(), clock));
  MAIL_TRY(filters, Filters::open(settings));
  std::unique_ptr<SmtpServer> server(
      new SmtpServer(service, std::move(directory), std::move(spool), std::move(writer), clock));
  server->policy_checks_ = std::move(policy);
  server->filters_ = std::move(filters);
  return server;
}

std::unique_ptr<net::Session> SmtpServer::session(std::unique_ptr<net::Connection> connection,
                                                  const net::Listen& listen) {
  return std::make_unique<Client>(*this, std::move(connection), static_cast<Service>(listen.tag));
}

void SmtpServer::reload() {
  if (auto done = directory_->reload(); !done)
    log_event(LogLevel::error, "reload_failed", {{"text", done.error().text}});
  router_.reload();
}

bool SmtpServer::has_room() {
  const auto second = std::chrono::duration_cast<std::chrono::seconds>(clock_.steady().time_since_epoch()).count() + 1;
  if (room_checked_.exchange(second, std::memory_order_relaxed) == second) return has_room_;
  struct statvfs room {};
  if (fstatvfs(spool_->root().fd(), &room) != 0) return true;  // the write will tell
  const auto free = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
  const bool enough = free >= settings().spool.free_octets && (room.f_files == 0 || room.f_favail > 100);
  if (enough != has_room_.exchange(enough))
    log_event(enough ? LogLevel::info : LogLevel::error, enough ? "spool_room_again" : "spool_full",
              {{"free_octets", free}});
  return enough;
}

smtp::Reply SmtpServer::flush_queue(std::string_view node) {
  constexpr unsigned kMostPerSecond = 20;  // each costs a file in the spool
  constexpr std::size_t kLongestNode = 256;
  // RFC 1985 section 5.2: "@" asks for the domains below it too, "#" for a queue by its name.
  auto order = node.starts_with('#') ? node.substr(1) : node;
  order = trim(order);
  const auto strange = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; };
  if (order.empty() || order == "@" || order.size() > kLongestNode || std::ranges::any_of(order, strange))
    return {501, "5.5.4 Syntax: ETRN domain, @domain or #queue"};
  const auto second = std::chrono::duration_cast<std::chrono::seconds>(clock_.steady().time_since_epoch()).count();
  if (flush_second_.exchange(second, std::memory_order_relaxed) != second) flushes_ = 0;
  if (++flushes_ > kMostPerSecond) return {458, "4.3.2 Too many ask at once, try later"};
  if (!spool::relay_runs(*spool_)) return {458, "4.3.2 The queue is not being worked on, try later"};
  if (auto asked = spool::nudge(*spool_, {concat({"etrn ", order})}); !asked) {
    log_event(LogLevel::warning, "etrn_failed", {{"node", node}, {"text", asked.error().text}});
    return {458, "4.3.0 Unable to queue messages"};
  }
  log_event(LogLevel::info, "etrn", {{"node", node}});
  return {250, concat({"2.0.0 Queuing for node ", printable(node), " started"})};
}

bool SmtpServer::belongs_to(const directory::User& user, std::string_view address) const {
  if (iequals(user.name, address)) return true;
  const auto route = router_.route(address);
  if (!route || route->refusal) return false;
  for (const auto& target : route->targets)
    if (const auto* mailbox = std::get_if<route::LocalMailbox>(&target.destination);
        mailbox != nullptr && mailbox->user == user.name)
      return true;
  return false;
}

}  // namespace mail::mta
