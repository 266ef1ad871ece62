#include "imapd/client.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "imapd/server.h"

namespace mail::imapd {
namespace {

/// While so much is not sent yet, no more is produced.
constexpr std::size_t kMostPending = 2 * imapd::Session::kPiece;
/// Silence in a command after which INPROGRESS is said, and again.
constexpr std::chrono::seconds kProgressEvery{10};

std::string address_of(const net::Connection& connection) {
  return connection.peer().is_unix() ? "unix" : connection.peer().ip.to_string();
}

}  // namespace

Client::Client(ImapServer& server, std::unique_ptr<net::Connection> connection)
    : net::Session(std::move(connection)), server_(server) {}

sasl::Channel Client::channel() {
  sasl::Channel channel;
  net::Connection& c = connection();
  channel.encrypted = c.is_tls() || c.peer().is_unix();
  if (c.is_tls()) {
    channel.tls_exporter = c.tls_exporter();
    channel.tls_server_end_point = c.tls_server_end_point();
  }
  return channel;
}

void Client::on_ready() {
  woken_ = std::make_shared<std::atomic<bool>>(false);
  // Called on threads of the store as well: one post is enough, however often.
  auto wake = [&loop = loop(), woken = woken_, pump = alive_.guard([this] { pump(); })] {
    if (woken->exchange(true)) return;
    loop.post([woken, pump]() mutable {
      woken->store(false);
      pump();
    });
  };
  auto run_blocking = [this](std::function<void()> job, std::function<void()> done) {
    server_.workers().submit(loop(), std::move(job), std::move(done));
  };
  session_ = std::make_shared<imapd::Session>(server_.environment(), address_of(connection()), run_blocking, wake);
  session_->set_channel(channel());
  connection().set_water_marks(imapd::Session::kPiece / 4, kMostPending + imapd::Session::kPiece);
  if (const auto& user = server_.preauthenticated())
    session_->greet_preauthenticated(*user);
  else
    session_->greet();
  // One limit for the whole log-in: nobody keeps a connection by a word now and then.
  connection().set_timeout(server_.environment().settings.imap.login_timeout,
                           alive_.guard([this] { shut_down("Log in more quickly"); }));
  pump();
}

void Client::on_octets(std::string_view octets) {
  if (!session_) return;
  restart_timeout();
  if (compression_)
    compression_->receive(octets);
  else
    session_->receive(octets);
  pump();
}

void Client::on_drained() {
  restart_timeout();
  pump();
}

void Client::on_tls_started() {
  if (!session_) return;
  session_->tls_started(channel());
  pump();
}

void Client::on_shutdown() {
  if (!session_) return end();
  shut_down("Server is shutting down");
}

void Client::shut_down(std::string_view why) {
  stopping_ = why;
  pump();
}

void Client::on_ended(net::CloseReason reason) {
  if (!session_ || !session_->logged_in()) return;
  log_event(LogLevel::info, "imap_end",
            {{"user", busy_ ? std::string("-") : session_->user()},
             {"peer", address_of(connection())},
             {"in", connection().octets_read()},
             {"out", connection().octets_written()},
             {"reason", net::to_string(reason)}});
}

void Client::restart_timeout() {
  if (busy_ || !session_->logged_in()) return;
  connection().set_timeout(server_.environment().settings.imap.idle_timeout,
                           alive_.guard([this] { shut_down("Autologout: idle for too long"); }));
}

void Client::pump() {
  if (busy_ || pumping_ || !session_) return;
  pumping_ = true;
  if (!stopping_.empty()) session_->shut_down(stopping_);
  while (connection().is_open() && !connection().is_closing()) {
    if (connection().pending_output() > kMostPending) {
      connection().want_drained();
      break;
    }
    const auto next = session_->run(false);
    send_output();
    if (!act_on(next)) break;
  }
  pumping_ = false;
}

bool Client::act_on(imapd::Session::Next next) {
  using Next = imapd::Session::Next;
  switch (next) {
    case Next::input:
      return compression_ && inflate();
    case Next::more:
      return true;
    case Next::worker:
      run_on_worker();
      return false;
    case Next::wait:
      if (const auto delay = session_->take_delay(); delay.count() > 0) {
        delay_ = std::make_unique<net::Timer>(loop(), alive_.guard([this] { pump(); }));
        delay_->start(delay);
      }
      return false;
    case Next::start_tls:
      connection().start_tls(server_.tls());
      return false;
    case Next::compress:
      compression_ = std::make_unique<Compression>();
      session_->compress_started();
      return true;
    case Next::close:
      connection().close_when_written();
      return false;
  }
  return false;
}

/// True where the session has something new to read.
bool Client::inflate() {
  auto octets = compression_->inflate_some();
  if (!octets) {
    session_->shut_down(octets.error().text);
    return true;
  }
  session_->receive(*octets);
  return !octets->empty();
}

void Client::run_on_worker() {
  busy_ = true;
  // What comes meanwhile stays in the socket: the session is the worker's.
  connection().pause_reading();
  tell_progress();
  server_.workers().submit(
      loop(), [session = session_] { return session->run(true); },
      alive_.guard([this](imapd::Session::Next next) { worker_done(next); }));
}

void Client::worker_done(imapd::Session::Next next) {
  busy_ = false;
  if (progress_) progress_->cancel();
  connection().resume_reading();
  restart_timeout();
  send_output();
  // What the worker asked for; the session itself goes on in pump().
  if (act_on(next)) pump();
  if (!busy_ && !stopping_.empty()) pump();
}

void Client::tell_progress() {
  // Only where nothing of the answer has gone out: in the middle of a literal there is no room for a line.
  const auto tag = session_->quiet_tag();
  if (tag.empty()) return;
  progress_tag_ = tag;
  if (!progress_)
    progress_ = std::make_unique<net::Timer>(loop(), alive_.guard([this] {
      if (busy_) write(concat({"* OK [INPROGRESS (\"", progress_tag_, "\" NIL NIL)] Still working\r\n"}));
    }));
  progress_->repeat(kProgressEvery);
}

void Client::write(std::string octets) {
  if (compression_)
    connection().write(compression_->deflate(octets));
  else
    connection().write(std::move(octets));
}

void Client::send_output() {
  auto& out = session_->output();
  if (out.empty()) return;
  write(std::exchange(out, {}));
}

}  // namespace mail::imapd
