#include "net/service.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <unordered_map>

#include "base/log.h"
#include "base/memory.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace mail::net {
namespace {

/// inetd gives the client's connection as descriptor 2 as well: no word of ours, or of any library, may get there.
void silence_standard_error() {
  struct stat in {};
  struct stat err {};
  if (fstat(0, &in) != 0 || fstat(2, &err) != 0 || !S_ISSOCK(err.st_mode)) return;
  if (in.st_dev != err.st_dev || in.st_ino != err.st_ino) return;
  const UniqueFd none(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (none) dup2(none.get(), 2);
}

constexpr std::chrono::seconds kQuietLook{5};
constexpr std::chrono::milliseconds kQuiet{50};  // of processor time between two looks

std::chrono::microseconds processor_time() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

}  // namespace

struct Service::Impl {
  ServiceOptions options;
  std::unique_ptr<Loops> loops;
  std::unique_ptr<WorkerPool> workers;
  std::mutex resolvers_mutex;
  std::unordered_map<Loop*, std::unique_ptr<Resolver>> resolvers;
  std::unique_ptr<Server> server;
  std::vector<std::unique_ptr<SignalWatch>> signals;
  std::unique_ptr<Timer> quiet_look;
  std::chrono::microseconds used_before{0};
  bool was_busy = true;  // with the start
  bool code_dropped = false;
  std::vector<std::function<void()>> reloads;
  std::function<void(Task)> stop_work;
  bool stopping = false;
  bool inetd = false;

  // ---- the start

  /// Says it in the log, and on standard error where a person looks; under inetd that is the client's connection.
  int refuse(const Error& error) const {
    log_event(LogLevel::error, "start-failed", {{"text", error.text}});
    const bool logged_there = options.settings.log.target == "stderr";
    if (!inetd && !logged_there) std::fprintf(stderr, "%s: %s\n", options.program.c_str(), error.text.c_str());
    return exit_code(error);
  }

  Status open_server() {
    const auto& settings = options.settings;
    if (inetd) {
      MAIL_TRY(opened, Server::inetd(options.listeners.front(), settings.limits));
      server = std::move(opened);
    } else if (!options.listeners.empty()) {
      MAIL_TRY(opened, Server::open(options.listeners, settings.limits));
      server = std::move(opened);
    } else if (!options.no_listeners) {
      return fail(Error::Kind::permanent,
                  "nothing to listen on: relais.toml names no address for this program (listen = [...])");
    }
    return {};
  }

  Status open_tls() {
    const auto& tls = options.settings.tls;
    const bool needed = options.needs_tls || std::ranges::any_of(options.listeners, &Listen::implicit_tls);
    if (tls.certificates.empty() && !needed) return {};
    std::vector<std::string> warnings;
    const auto before = server ? server->tls() : nullptr;
    MAIL_TRY(context, TlsContext::server(tls, before.get(), &warnings));
    for (const auto& warning : warnings) log_event(LogLevel::warning, "tls", {{"text", warning}});
    if (server) server->set_tls(std::move(context));
    return {};
  }

  Status open() {
    const auto& settings = options.settings;
    inetd = options.inetd || (!options.no_listeners && !options.listeners.empty() && Server::started_by_inetd());
    prepare_process();
    if (inetd) silence_standard_error();
    MAIL_CHECK(open_log(options.program, settings.log, inetd));
    const auto descriptors =
        settings.limits.descriptors != 0 ? settings.limits.descriptors : settings.limits.connections * 2 + 256;
    const auto have = set_process_limits(descriptors);
    if (have < settings.limits.connections + 64)
      log_event(LogLevel::warning, "descriptors", {{"have", have}, {"wanted", descriptors}});
    MAIL_CHECK(open_server());
    MAIL_CHECK(open_tls());
    if (!options.keep_root) MAIL_CHECK(drop_privileges(settings.run));
    MAIL_TRY(opened, Loops::open(inetd ? 1 : settings.run.threads));
    loops = std::move(opened);
    workers = std::make_unique<WorkerPool>(settings.run.workers);
    return {};
  }

  // ---- while it runs

  void reload() {
    notify_reloading();
    if (auto opened = open_log(options.program, options.settings.log, inetd); !opened)
      log_event(LogLevel::error, "reload", {{"text", opened.error().text}});
    if (auto loaded = open_tls(); !loaded)
      log_event(LogLevel::error, "reload", {{"text", loaded.error().text}});  // the old ones stay
    for (const auto& function : reloads) function();
    log_event(LogLevel::info, "reloaded");
    notify_ready();
  }

  void stop() {
    if (std::exchange(stopping, true)) return loops->stop();  // a second signal: at once
    notify_stopping();
    log_event(LogLevel::info, "stopping", {{"connections", server ? server->connections() : 0}});
    auto sessions_gone = [this] {
      if (!stop_work) return loops->stop();
      stop_work([this] { loops->first().post([this] { loops->stop(); }); });
    };
    if (server && !inetd)
      server->shutdown(options.settings.run.stop_grace, std::move(sessions_gone));
    else
      sessions_gone();
  }

  /// What the start and each busy time leave behind goes back to the system once the daemon is quiet.
  void look_whether_quiet() {
    const auto used = processor_time();
    const bool busy = used - std::exchange(used_before, used) > kQuiet;
    if (busy) was_busy = true;
    if (busy || !std::exchange(was_busy, false)) return;
    workers->submit([code_too = !std::exchange(code_dropped, true)] {
      trim_heap();
      if (code_too) drop_unused_code();
    });
  }

  void watch_signals() {
    auto& loop = loops->first();
    for (const int signal : {SIGTERM, SIGINT})
      signals.push_back(std::make_unique<SignalWatch>(loop, signal, [this] { stop(); }));
    signals.push_back(std::make_unique<SignalWatch>(loop, SIGHUP, [this] { reload(); }));
  }
};

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() {
  end_sessions();
  impl_->resolvers.clear();
}

tl::expected<std::unique_ptr<Service>, int> Service::open(ServiceOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  if (auto opened = impl->open(); !opened) return tl::unexpected(impl->refuse(opened.error()));
  return std::unique_ptr<Service>(new Service(std::move(impl)));
}

const config::Settings& Service::settings() const { return impl_->options.settings; }
Loops& Service::loops() { return *impl_->loops; }
WorkerPool& Service::workers() { return *impl_->workers; }
Server& Service::server() { return *impl_->server; }
std::shared_ptr<const TlsContext> Service::tls() const { return impl_->server ? impl_->server->tls() : nullptr; }

Resolver& Service::resolver(Loop& loop) {
  const std::lock_guard lock(impl_->resolvers_mutex);
  auto& resolver = impl_->resolvers[&loop];
  if (!resolver) {
    auto opened = CaresResolver::open(loop, settings().dns);
    if (opened)
      resolver = std::move(*opened);
    else
      resolver = std::make_unique<FailingResolver>(loop, std::move(opened).error());
  }
  return *resolver;
}

void Service::on_reload(std::function<void()> function) { impl_->reloads.push_back(std::move(function)); }
void Service::on_stop(std::function<void(Task)> function) { impl_->stop_work = std::move(function); }

int Service::run(Server::Factory factory) {
  if (impl_->server) {
    if (impl_->inetd) impl_->server->when_empty([this] { impl_->stop(); });
    impl_->server->start(*impl_->loops, std::move(factory));
  }
  impl_->watch_signals();
  if (!impl_->inetd) {
    impl_->quiet_look = std::make_unique<Timer>(impl_->loops->first(), [this] { impl_->look_whether_quiet(); });
    impl_->quiet_look->repeat(kQuietLook);
  }
  impl_->loops->first().post([this] {
    std::string addresses;
    if (impl_->server)
      for (const auto& address : impl_->server->addresses())
        addresses += concat({addresses.empty() ? "" : " ", address.to_string()});
    log_event(LogLevel::info, "ready", {{"pid", getpid()}, {"listen", addresses}});
    if (!impl_->inetd) notify_ready();
  });
  impl_->loops->run();
  log_event(LogLevel::info, "stopped");
  return kExitOk;
}

void Service::end_sessions() {
  impl_->quiet_look.reset();
  impl_->signals.clear();
  impl_->workers.reset();  // its jobs may post to loops, so it ends first
  impl_->server.reset();
}

void Service::stop() {
  impl_->loops->first().post([this] { impl_->stop(); });
}

}  // namespace mail::net
