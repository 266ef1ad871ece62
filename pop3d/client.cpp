#include "pop3d/client.h"

#include <algorithm>

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "store/from_settings.h"

namespace mail::pop3d {
namespace {

/// What of a message is converted in one go: large messages go out in such pieces as the peer takes them.
constexpr std::size_t kPieceOctets = 128 * 1024;

std::string address_of(const net::Connection& connection) {
  return connection.peer().is_unix() ? "unix" : connection.peer().ip.to_string();
}

pop3::Refusal refusal_of(const Error& error) {
  switch (error.kind) {
    case Error::Kind::temporary:
      return pop3::Refusal::temporary;
    case Error::Kind::not_found:
      return pop3::Refusal::gone;
    default:
      return pop3::Refusal::permanent;
  }
}

/// [disk] Opens the mailbox with all its sizes.
Result<std::pair<std::shared_ptr<store::Account>, std::shared_ptr<store::View>>> open_inbox(
    store::Store& store, const store::AccountLocation& location) {
  MAIL_TRY(account, store.account(location));
  // Read only: POP3 takes nobody's \Recent away.
  MAIL_TRY(view, account->select("INBOX", true));
  if (view->exists() != 0) {
    const auto all = view->uids_of(store::SequenceNumber{1}, store::SequenceNumber{view->exists()});
    if (!view->has_sizes(all)) MAIL_CHECK(view->complete_sizes(all));
  }
  return std::pair(account, view);
}

}  // namespace

Client::Client(Pop3Server& server, std::unique_ptr<net::Connection> connection)
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
  const config::Settings& settings = server_.settings();
  pop3::Options options;
  const sasl::Channel here = channel();
  options.tls_active = here.encrypted;
  options.tls_available = server_.tls() != nullptr;
  options.allow_plaintext = settings.auth.allow_plaintext;
  options.clear_mechanisms = sasl::announced_mechanisms(server_.policy(), sasl::Channel{});
  sasl::Channel encrypted = here;
  encrypted.encrypted = true;
  options.tls_mechanisms = sasl::announced_mechanisms(server_.policy(), encrypted);
  options.apop_timestamp = server_.new_timestamp();
  options.login_delay_seconds = static_cast<unsigned>(settings.pop3.login_delay.count());
  options.errors_before_close = static_cast<unsigned>(settings.pop3.errors);
  session_.emplace(std::move(options));
  // One limit for the whole log-in: nobody keeps a connection by a word now and then.
  connection().set_timeout(settings.pop3.login_timeout);
  pump();
}

void Client::on_octets(std::string_view octets) {
  session_->receive(octets);
  pump();
}

void Client::on_drained() {
  restart_timeout();
  if (file_) send_message();
  pump();
}

void Client::on_tls_started() {
  if (!session_) return;
  login_.reset();  // what was said in clear counts for nothing
  session_->tls_started(sasl::announced_mechanisms(server_.policy(), channel()));
  pump();
}

void Client::on_shutdown() {
  stopping_ = true;
  if (!session_) return end();
  // A removal that was begun is finished, and so is a message on its way; pump() sees to the rest.
  if (!removing_ && !file_ && !pumping_) pump();
}

void Client::on_ended(net::CloseReason) {
  if (!session_ || !session_->logged_in()) return;
  log_event(LogLevel::info, "pop3_end",
            {{"user", user_},
             {"peer", address_of(connection())},
             {"retrieved", retrieved_},
             {"deleted", deleted_},
             {"octets", connection().octets_written()}});
}

/// RFC 1939 section 3: an inactive session ends, without a word and without removing anything.
void Client::restart_timeout() {
  if (session_ && session_->logged_in()) connection().set_timeout(server_.settings().pop3.idle_timeout);
}

void Client::pump() {
  if (pumping_ || !session_) return;
  pumping_ = true;
  bool acted = false;
  while (connection().is_open() && !connection().is_closing()) {
    if (connection().above_high_water()) {
      connection().want_drained();
      break;
    }
    if (stopping_ && !removing_ && !file_) session_->end(pop3::Text::shutting_down);
    const auto event = session_->next();
    if (!event) break;
    acted = true;
    handle(*event);
  }
  pumping_ = false;
  if (acted) restart_timeout();
  if (session_->logged_in()) login_.reset();
  if (session_->input_full() != input_paused_) {
    input_paused_ = !input_paused_;
    input_paused_ ? connection().pause_reading() : connection().resume_reading();
  }
}

void Client::handle(const pop3::Event& event) {
  const auto done = [this](const directory::LoginStep& step) { logged_in(step); };
  std::visit(overloaded{
                 [&](const pop3::Send&) { connection().write(session_->take_sent()); },
                 [&](const pop3::BeginTls&) { connection().start_tls(server_.tls()); },
                 [&](const pop3::CheckPassword& e) { login().with_password(e.user, e.password, done); },
                 [&](const pop3::CheckApop& e) { login().with_apop(e.user, e.timestamp, e.digest, done); },
                 [&](const pop3::BeginSasl& e) {
                   std::optional<std::string> initial;
                   if (e.initial_response) initial = e.initial_response->empty() ? "=" : to_base64(*e.initial_response);
                   login().start(e.mechanism, initial, done);
                 },
                 [&](const pop3::SaslResponse& e) { login().respond(to_base64(e.octets), done); },
                 // The session has told the peer already; the exchange is over for the directory too.
                 [&](const pop3::SaslCancelled&) { login().respond("*", [](const directory::LoginStep&) {}); },
                 [&](const pop3::Retrieve& e) {
                   messages_->get(e.index, e.whole,
                                  [this](ReadAhead::Fetched message) { retrieved(std::move(message)); });
                 },
                 [&](const pop3::Remove& e) { remove(e.indices); },
                 [&](const pop3::Close&) { connection().close_when_written(); },
             },
             event);
}

directory::Login& Client::login() {
  if (login_) return *login_;
  const auto run = [this](std::function<void()> job, std::function<void()> done) {
    server_.workers().submit(loop(), std::move(job), std::move(done));
  };
  login_ = std::make_unique<directory::Login>(
      server_.directory(), &server_.throttle(), server_.policy(), run,
      directory::Login::Peer{.service = "pop3", .address = address_of(connection())});
  login_->set_channel(channel());
  return *login_;
}

void Client::logged_in(const directory::LoginStep& step) {
  std::visit(overloaded{
                 [&](const directory::LoginChallenge& e) { session_->challenge(e.octets); },
                 [&](const directory::LoginAccepted& e) { open_mailbox(e.user); },
                 [&](const directory::LoginRefused& e) {
                   const bool temporary = e.why == directory::LoginRefused::Why::temporary;
                   refuse_later(temporary ? pop3::Refusal::temporary : pop3::Refusal::credentials, e.delay);
                 },
             },
             step);
  pump();
}

void Client::refuse_later(pop3::Refusal refusal, std::chrono::milliseconds delay) {
  if (delay.count() == 0) return session_->refuse(refusal);
  delay_ = std::make_unique<net::Timer>(loop(), [this, refusal] {
    session_->refuse(refusal);
    pump();
  });
  delay_->start(delay);
}

void Client::open_mailbox(const directory::User& user) {
  user_ = user.name;
  if (server_.too_soon(user.name)) return session_->refuse(pop3::Refusal::too_soon);
  if (user.mbox)
    return mailbox_opened(fail(Error::Kind::permanent, concat({user.mail, " is an mbox file: pop3d serves Maildirs"})));
  const auto location =
      store::location_from(server_.settings(), user.name, user.mail, {user.quota_octets, user.quota_messages});
  // Mostly another session has it open, or had a moment ago: then nothing here waits for the disk.
  if (auto account = server_.store().open_account(location)) {
    if (auto view = account->select_ready("INBOX", true)) {
      const auto exists = view->exists();
      if (exists == 0 || view->has_sizes(view->uids_of(store::SequenceNumber{1}, store::SequenceNumber{exists})))
        return mailbox_opened(Opened{account, view, server_.snapshots().of(user_, *view)});
    }
  }
  server_.workers().submit(
      loop(),
      [&server = server_, location, name = user.name]() -> Result<Opened> {
        MAIL_TRY(inbox, open_inbox(server.store(), location));
        return Opened{inbox.first, inbox.second, server.snapshots().of(name, *inbox.second)};
      },
      alive_.guard([this](Result<Opened> opened) {
        mailbox_opened(std::move(opened));
        pump();
      }));
}

void Client::mailbox_opened(Result<Opened> opened) {
  if (!opened) {
    log_event(LogLevel::error, "mailbox_not_opened", {{"user", user_}, {"error", opened.error().text}});
    // A Maildir that is not there and cannot be made is nothing that the peer could mend.
    const auto refusal = refusal_of(opened.error());
    return session_->refuse(refusal == pop3::Refusal::gone ? pop3::Refusal::permanent : refusal);
  }
  mailbox_ = std::move(*opened);
  messages_ = std::make_unique<ReadAhead>(server_.workers(), loop(), mailbox_.view, mailbox_.snapshot);
  session_->accept(*mailbox_.snapshot);
}

void Client::retrieved(ReadAhead::Fetched message) {
  if (!message.body.empty()) {
    ++retrieved_;
    session_->message_whole(std::move(message.body));
    return pump();
  }
  const auto& file = message.file;
  if (!file) {
    if (file.error().kind != Error::Kind::not_found)
      log_event(LogLevel::error, "message_not_read", {{"user", user_}, {"error", file.error().text}});
    session_->refuse(refusal_of(file.error()));
    return pump();
  }
  file_ = *file;
  file_offset_ = 0;
  ++retrieved_;
  session_->message_begins();
  send_message();
  pump();
}

/// Converts and queues the message as far as the peer takes it; on_drained() goes on.
void Client::send_message() {
  const std::string_view raw = file_->raw();
  while (file_offset_ < raw.size()) {
    if (connection().above_high_water()) return connection().want_drained();
    const auto piece = raw.substr(file_offset_, kPieceOctets);
    file_offset_ += piece.size();
    if (!session_->message_octets(piece)) file_offset_ = raw.size();
    if (file_offset_ == raw.size()) break;  // with its end, in one write
    while (session_->next()) connection().write(session_->take_sent());
  }
  file_.reset();
  session_->message_ends();
}

void Client::remove(const std::vector<std::size_t>& indices) {
  removing_ = true;
  store::UidSet uids;
  for (const std::size_t index : indices) uids.add(mailbox_.snapshot->uid(index));
  deleted_ = indices.size();
  server_.workers().submit(
      loop(),
      [account = mailbox_.account, uids]() -> Status {
        MAIL_TRY(view, account->select("INBOX", false));
        // Only what this session deleted: IMAP's \Deleted on others is its own affair.
        const auto here = view->existing(uids);
        if (here.empty()) return {};
        MAIL_CHECK(view->store_flags({.how = store::FlagChange::How::add,
                                      .uids = here,
                                      .flags = store::Flags::deleted,
                                      .keywords = {},
                                      .unchanged_since = {}}));
        MAIL_CHECK(view->expunge(&here));
        return {};
      },
      alive_.guard([this](Status done) {
        removing_ = false;
        if (!done) log_event(LogLevel::error, "not_removed", {{"user", user_}, {"error", done.error().text}});
        session_->removed(done.has_value());
        pump();
      }));
}

}  // namespace mail::pop3d
