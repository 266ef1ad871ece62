#include "mta/serve/client.h"

#include <algorithm>

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "message/date.h"
#include "mta/serve/client_work.h"

namespace mail::mta {
namespace {

/// Unread octets held for a client that goes on talking while an answer is pending; above, the socket is left alone.
constexpr std::size_t kMostHeldOctets = 128 * 1024;

smtp::Reply reply_of(const route::Refusal& refusal) {
  return {refusal.code, concat({refusal.enhanced, " ", refusal.text})};
}

}  // namespace

Client::Client(SmtpServer& server, std::unique_ptr<net::Connection> connection, Service service)
    : net::Session(std::move(connection)),
      server_(server),
      service_(service),
      session_(server.settings_of(service), service == Service::submissions) {}

Client::~Client() = default;

Client::Work& Client::work() {
  if (!work_) work_ = std::make_unique<Work>();
  return *work_;
}

bool Client::trusted() const {
  return session_.authenticated() ||
         contains(settings().smtp.relay_networks, const_cast<Client*>(this)->connection().peer());
}

void Client::on_ready() {
  const auto& peer = connection().peer();
  client_address_ = peer.is_unix() ? std::string("unix") : peer.ip.to_string();
  log_event(LogLevel::info, "connect",
            {{"client", client_address_},
             {"port", peer.port},
             {"service", smtp_settings().auth_required ? "submission" : "smtp"}});
  if (server_.policy_checks().active()) {
    policy_ =
        std::make_unique<ClientPolicy>(server_.policy_checks(), loop(), server_.resolver(loop()), connection().peer());
    auto refusal = service_ == Service::smtp ? policy_->connected() : std::nullopt;
    if (refusal) return refuse_connection(*std::move(refusal));
  }
  const bool filters = !server_.filters().list.empty() && !policy_->allowed();
  filters ? open_filters() : greet_when_due();
}

void Client::refuse_connection(smtp::Reply refusal) {
  // The greeting knows these two only (RFC 5321 section 4.3.2).
  refusal.code = refusal.temporary() ? 421 : 554;
  refuse("connect", refusal, {});
  session_.greet(std::move(refusal));
  restart_timeout();
  pump();
}

void Client::greet_when_due() {
  if (settings().smtp.greeting_delay.count() == 0 || service_ != Service::smtp) return greet();
  // Who talks before the greeting is no mail server (threats: early talkers).
  delay_ = std::make_unique<net::Timer>(loop(), alive_.guard([this] {
    delay_.reset();
    greet();
  }));
  delay_->start(settings().smtp.greeting_delay);
}

void Client::greet() {
  if (session_.held_octets() != 0) {
    log_event(LogLevel::info, "rejected",
              {{"stage", "connect"}, {"client", client_address_}, {"reply", "talked before the greeting"}});
    session_.greet(smtp::Reply{554, "5.5.1 You talked before the greeting"});
  } else {
    session_.greet();
  }
  restart_timeout();
  pump();
}

void Client::on_octets(std::string_view octets) {
  session_.receive(octets);
  pump();
}

void Client::on_tls_started() {
  session_.tls_started();
  helo_.clear();
  work_.reset();
  restart_timeout();
  pump();
}

void Client::on_shutdown() {
  stopping_ = true;
  pump();
}

void Client::on_ended(net::CloseReason reason) {
  log_event(LogLevel::info, "disconnect",
            {{"client", client_address_},
             {"reason", net::to_string(reason)},
             {"read", connection().octets_read()},
             {"written", connection().octets_written()}});
}

void Client::restart_timeout() {
  const bool data = session_.in_message();
  connection().set_least_rate(data ? std::uint64_t{settings().smtp.data_rate} : 0);
  // The limit of RFC 5321 section 4.5.3.2.7 is per command; of the data, per block.
  connection().set_timeout(data ? settings().smtp.data_timeout : settings().smtp.command_timeout, alive_.guard([this] {
    log_event(LogLevel::info, "timeout", {{"client", client_address_}, {"helo", helo_}});
    session_.shut_down("4.4.2 Timeout");
    pump();
    if (!connection().is_closing()) end();
  }));
}

void Client::pump() {
  if (pumping_) return;
  pumping_ = true;
  bool acted = false;
  while (connection().is_open() && !connection().is_closing()) {
    // A message that is coming in, or being made durable, is finished first.
    if (stopping_ && !session_.in_message() && !session_.waiting()) session_.shut_down("4.3.2 Service shutting down");
    auto event = session_.next();
    if (!event) break;
    acted = true;
    handle(*event);
  }
  pumping_ = false;
  if (acted && !connection().is_closing()) restart_timeout();
  const bool full = session_.held_octets() > kMostHeldOctets;
  if (full != paused_ && connection().is_open()) {
    paused_ = full;
    full ? connection().pause_reading() : connection().resume_reading();
  }
}

void Client::handle(smtp::Event& event) {
  std::visit(overloaded{
                 [&](const smtp::SendReply& e) { connection().write(e.wire); },
                 [&](const smtp::CheckHello& e) { check_hello(e); },
                 [&](const smtp::CheckSender& e) { check_sender(e.arguments); },
                 [&](const smtp::CheckRecipient& e) { check_recipient(e.arguments); },
                 [&](const smtp::BeginMessage&) { begin_message(); },
                 [&](const smtp::BodyOctets& e) { add_octets(e.octets); },
                 [&](const smtp::AbandonMessage& e) {
                   refuse("data", {550, std::string(e.why)}, {});
                   drop_message({550, std::string(e.why)});
                 },
                 [&](const smtp::EndOfMessage& e) { end_message(e.octets); },
                 [&](const smtp::BeginTls&) { connection().start_tls(server_.tls()); },
                 [&](const smtp::AuthBegin& e) { begin_login(e.mechanism, e.response); },
                 [&](const smtp::AuthResponse& e) {
                   work().login->respond(to_base64(e.response),
                                         [this](const directory::LoginStep& step) { login_step(step); });
                 },
                 [&](const smtp::AuthCancelled&) { work().login.reset(); },
                 [&](const smtp::Verify& e) { verify(e.argument, false); },
                 [&](const smtp::Expand& e) { verify(e.argument, true); },
                 [&](const smtp::FlushQueue& e) { session_.answer(server_.flush_queue(e.argument)); },
                 [&](const smtp::ResetTransaction&) {
                   if (work_) work_->transaction.reset();
                   if (filters_) filters_->reset();
                 },
                 [&](const smtp::Close&) { connection().close_when_written(); },
             },
             event);
}

void Client::refuse(std::string_view stage, smtp::Reply reply, std::string_view subject) {
  log_event(LogLevel::info, "rejected",
            {{"stage", stage},
             {"client", client_address_},
             {"helo", helo_},
             {"from", work_ ? std::string_view(work_->transaction.reverse_path()) : std::string_view()},
             {"subject", subject},
             {"user", user_},
             {"reply", reply.line()}});
}

// HELO, MAIL and RCPT

ClientPolicy::Question Client::policy_question() {
  ClientPolicy::Question question;
  question.helo = helo_;
  question.user = user_;
  question.trusted = trusted();
  question.esmtp = session_.esmtp();
  if (work_ && work_->transaction.open()) {
    question.sender = work_->transaction.reverse_path();
    question.id = work_->transaction.id().text();
    question.recipients = work_->transaction.local_count() + work_->transaction.remote_count();
  }
  if (const auto tls = connection().tls_info()) {
    question.tls_version = tls->version;
    question.tls_cipher = tls->cipher;
  }
  return question;
}

std::function<void(std::optional<smtp::Reply>)> Client::verdict(std::string_view stage, std::string subject,
                                                                std::function<void()> then) {
  return alive_.guard([this, stage, subject = std::move(subject), then = std::move(then)](auto refusal) {
    if (!refusal) {
      then();
    } else {
      refuse(stage, *refusal, subject);
      session_.answer(*refusal);
    }
    pump();
  });
}

void Client::ask_policy(void (ClientPolicy::*stage)(const ClientPolicy::Question&, const ClientPolicy::Callback&),
                        const ClientPolicy::Question& question, std::string_view stage_name,
                        std::function<void()> then) {
  if (!policy_) return then();
  const auto& subject = question.recipient.empty() ? question.sender : question.recipient;
  ((*policy_).*stage)(question, verdict(stage_name, subject, std::move(then)));
}

void Client::check_hello(const smtp::CheckHello& hello) {
  helo_ = hello.domain.substr(0, 512);
  auto question = policy_question();
  question.esmtp = hello.verb != "HELO";
  ask_policy(&ClientPolicy::hello, question, "helo", [this] {
    if (!filters_) return session_.accept();
    filters_->hello(helo_, filter_macros(), verdict("helo", {}, [this] { session_.accept(); }));
  });
}

std::optional<smtp::Reply> Client::refuse_sender(const smtp::MailArguments& mail) {
  if (!server_.has_room()) return smtp::Reply{452, "4.3.1 Not enough room, try later"};
  if (mail.parameters.hold_until) {
    const auto date = message::parse_date(*mail.parameters.hold_until);
    if (!date) return smtp::Reply{501, "5.5.4 HOLDUNTIL is no date"};
    if (date->time > server_.clock().now() + settings().smtp.future_release)
      return smtp::Reply{501, "5.5.4 HOLDUNTIL is too far ahead"};
  }
  const auto& user = work().user;
  if (user && settings().smtp.check_from && !mail.reverse_path.null() &&
      !server_.belongs_to(*user, smtp::to_string(mail.reverse_path)))
    return smtp::Reply{553, "5.7.1 The sender address is not yours"};
  return {};
}

void Client::check_sender(const smtp::MailArguments& mail) {
  if (auto refusal = refuse_sender(mail)) {
    refuse("mail", *refusal, smtp::to_string(mail.reverse_path));
    return session_.answer(*std::move(refusal));
  }
  auto question = policy_question();
  question.sender = smtp::to_string(mail.reverse_path);
  question.size = mail.parameters.size.value_or(0);
  ask_policy(&ClientPolicy::sender, question, "mail", [this, &mail] { take_sender(mail); });
}

/// `mail` is the session's and stays as it is until the answer.
void Client::take_sender(const smtp::MailArguments& mail) {
  spool::Envelope envelope;
  envelope.id = MessageId::generate(server_.clock());
  envelope.arrival = server_.clock().now();
  envelope.client_address = client_address_;
  envelope.helo = helo_;
  envelope.authenticated_user = user_;
  work().transaction.begin(std::move(envelope), mail);
  work().asked.clear();
  auto sender = rewritten_sender(work().transaction.reverse_path());
  if (!sender) {
    work().transaction.reset();
    return session_.answer({451, "4.3.0 Cannot look up the sender, try later"});
  }
  work().transaction.set_reverse_path(*std::move(sender));
  // RFC 6710 section 4.1: who is not trusted gets no precedence before others.
  if (!trusted()) work().transaction.cap_priority(0);
  filters_ ? filter_sender(mail) : session_.accept();
}

Result<std::string> Client::rewritten_sender(const std::string& address) const {
  const auto* rewriting = server_.router().rewriting();
  return rewriting != nullptr ? rewriting->sender(address) : address;
}

Result<route::Route> Client::route_entering(const std::string& address) {
  return server_.router().route(address, {.sender = {work().transaction.reverse_path(), user_}, .entering = true});
}

void Client::check_recipient(const smtp::RcptArguments& rcpt) {
  const auto address = smtp::to_string(rcpt.forward_path);
  const auto refuse_it = [&](smtp::Reply reply) {
    refuse("rcpt", reply, address);
    session_.answer(std::move(reply));
  };
  const auto route = route_entering(address);
  if (!route) {
    log_event(LogLevel::error, "route_failed", {{"to", address}, {"text", route.error().text}});
    return refuse_it({451, "4.3.0 Cannot look up the recipient, try later"});
  }
  if (route->refusal) return refuse_it(reply_of(*route->refusal));
  // What an alias of ours leads to is the alias owner's business; else only our own clients may send on.
  const bool leads_away = std::ranges::any_of(route->targets, [](const route::Target& target) {
    return std::holds_alternative<route::Remote>(target.destination);
  });
  if (leads_away && !route->ours && !trusted()) return refuse_it({554, "5.7.1 Relaying denied"});
  auto question = policy_question();
  question.recipient = address;
  ask_policy(&ClientPolicy::recipient, question, "rcpt", [this, &rcpt, route = *route] {
    if (filters_) return filter_recipient(rcpt, route);
    take_recipient(rcpt, route);
  });
}

void Client::take_recipient(const smtp::RcptArguments& rcpt, const route::Route& route) {
  work().transaction.add(rcpt, route);
  asked_for(smtp::to_string(rcpt.forward_path));
  session_.accept();
}

void Client::verify(std::string_view argument, bool expand) {
  auto mailbox = smtp::parse_path(argument, {.without_brackets = true, .without_domain = true});
  if (!mailbox) return session_.answer({501, concat({"5.1.3 ", mailbox.error().text})});
  if (mailbox->domain.empty() && !server_.directory().domains().empty())
    mailbox->domain = server_.directory().domains().front();
  const auto route = server_.router().route(smtp::to_string(*mailbox));
  if (!route) return session_.answer({451, "4.3.0 Cannot look up the address, try later"});
  if (route->refusal) return session_.answer(reply_of(*route->refusal));
  if (!server_.router().is_local_domain(mailbox->domain))
    return session_.answer({252, "2.5.0 Not local; will take a message for those who may send there"});
  if (expand && !route->expanded) return session_.answer({550, "5.2.4 This is no mailing list"});
  std::string lines = "2.1.5 ";
  if (!expand) {
    lines += concat({"<", smtp::to_string(*mailbox), ">"});
  } else {
    for (const auto& target : route->targets)
      lines += concat({lines.size() > 6 ? "\n" : "", "<", target.forward_path, ">"});
  }
  session_.answer({250, std::move(lines)});
}

// AUTH

void Client::begin_login(std::string_view mechanism, std::optional<std::string_view> response) {
  auto& w = work();
  w.mechanism = mechanism;
  auto run = [this](std::function<void()> job, std::function<void()> done) {
    server_.workers().submit(loop(), std::move(job), std::move(done));
  };
  w.login = std::make_unique<directory::Login>(server_.directory(), &server_.throttle(), server_.policy(),
                                               std::move(run), directory::Login::Peer{"smtp", client_address_});
  sasl::Channel channel;
  channel.encrypted = connection().is_tls() || connection().peer().is_unix();
  if (connection().is_tls()) {
    channel.tls_exporter = connection().tls_exporter();
    channel.tls_server_end_point = connection().tls_server_end_point();
  }
  w.login->set_channel(std::move(channel));
  std::optional<std::string> initial;
  if (response) initial = response->empty() ? std::string("=") : to_base64(*response);
  w.login->start(mechanism, initial, [this](const directory::LoginStep& step) { login_step(step); });
}

void Client::login_step(const directory::LoginStep& step) {
  using Why = directory::LoginRefused::Why;
  const auto reply_for = [](Why why) -> smtp::Reply {
    switch (why) {
      case Why::temporary:
        return {454, "4.7.0 Temporary authentication failure"};
      case Why::malformed:
        return {501, "5.5.2 The response is malformed"};
      case Why::unknown:
        return {504, "5.5.4 Unknown mechanism"};
      case Why::needs_tls:
        return {538, "5.7.11 Encryption required for the requested mechanism"};
      case Why::cancelled:
        return {501, "5.7.0 Authentication cancelled"};
      case Why::credentials:
        break;
    }
    return {535, "5.7.8 Authentication failed"};
  };
  if (const auto* challenge = std::get_if<directory::LoginChallenge>(&step)) {
    session_.auth_challenge(challenge->octets);
  } else if (const auto* accepted = std::get_if<directory::LoginAccepted>(&step)) {
    user_ = accepted->user.name;
    work().user = accepted->user;
    session_.auth_succeeded();
  } else {
    const auto& refused = std::get<directory::LoginRefused>(step);
    auto refuse_now = [this, reply = reply_for(refused.why)] {
      session_.auth_failed(reply);
      pump();
    };
    if (refused.delay.count() > 0) {
      delay_ = std::make_unique<net::Timer>(loop(), alive_.guard(std::move(refuse_now)));
      delay_->start(refused.delay);
      return;
    }
    return refuse_now();
  }
  pump();
}

}  // namespace mail::mta
