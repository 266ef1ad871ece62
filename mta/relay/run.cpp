#include "mta/relay/run.h"

#include <utility>

#include "base/log.h"
#include "directory/from_settings.h"
#include "mta/relay/manager.h"
#include "net/service.h"
#include "route/from_settings.h"
#include "spool/journal.h"

namespace mail::relay {

namespace {

/// All that the manager stands on, in the order in which it may be taken down.
struct Parts {
  std::unique_ptr<directory::Directory> directory;
  std::unique_ptr<route::Router> router;
  std::unique_ptr<spool::Spool> spool;
  std::unique_ptr<spool::Writer> writer;
  std::unique_ptr<spool::DoneJournal> done;
  std::unique_ptr<Manager> manager;
};

Status open_parts(net::Service& service, Parts& parts) {
  const auto& settings = service.settings();
  MAIL_TRY(directory, directory::Directory::open(directory::options_from(settings)));
  parts.directory = std::move(directory);
  parts.router = std::make_unique<route::Router>(*parts.directory, route::options_from(settings));
  MAIL_TRY(spool, spool::Spool::open(settings.spool.directory));
  parts.spool = std::make_unique<spool::Spool>(std::move(spool));
  spool::WriterOptions options;
  options.small_message_octets = settings.spool.journal_message;
  options.segment_octets = settings.spool.journal_segment;
  MAIL_TRY(writer, spool::Writer::open(*parts.spool, "relay", options));
  parts.writer = std::move(writer);
  MAIL_CHECK(spool::recover(*parts.spool));  // journals of programs that do not run
  MAIL_TRY(done, spool::DoneJournal::open(*parts.spool, "relay"));
  parts.done = std::move(done);
  auto tls = client_tls(settings.tls);
  if (!settings.tls.ca_file.empty()) tls();  // an operator's own file: a mistake in it shows at the start
  auto& loop = service.loops().first();
  parts.manager = std::make_unique<Manager>(Surroundings{.loop = loop,
                                                         .resolver = service.resolver(loop),
                                                         .settings = settings,
                                                         .router = *parts.router,
                                                         .spool = *parts.spool,
                                                         .writer = *parts.writer,
                                                         .done = *parts.done,
                                                         .workers = service.workers(),
                                                         .tls = std::move(tls)});
  return {};
}

}  // namespace

int run(config::Settings settings) {
  settings.run.threads = 1;  // one loop: the queue manager's
  auto opened = net::Service::open(
      {.program = "mta-relay", .settings = std::move(settings), .listeners = {}, .no_listeners = true});
  if (!opened) return opened.error();
  auto& service = **opened;
  Parts parts;
  if (auto ready = open_parts(service, parts); !ready) {
    log_event(LogLevel::error, "start-failed", {{"text", ready.error().text}});
    return net::exit_code(ready.error());
  }
  service.on_reload([&] {
    if (auto done = parts.directory->reload(); !done)
      log_event(LogLevel::error, "reload-failed", {{"text", done.error().text}});
    parts.router->reload();
  });
  service.on_stop([&](net::Task done) { parts.manager->stop(std::move(done)); });
  service.loops().first().post([&] {
    if (auto started = parts.manager->start(); !started) {
      log_event(LogLevel::error, "start-failed", {{"text", started.error().text}});
      service.stop();
    }
  });
  const int code = service.run();
  service.end_sessions();  // workers may still be reading the spool
  return code;
}

}  // namespace mail::relay
