#include "mda/lmtp.h"

#include <algorithm>

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "mda/message_text.h"
#include "message/tls_required.h"

namespace mail::mda {
namespace {

smtp::ServerSettings lmtp_settings(const config::Settings& settings, bool tls) {
  smtp::ServerSettings out;
  out.host_name = config::host_name(settings);
  out.banner = "LMTP";
  out.mode = smtp::Mode::lmtp;
  out.message_octets = settings.smtp.message_octets;
  out.recipients = static_cast<std::uint32_t>(settings.smtp.recipients);
  out.command_octets = static_cast<std::uint32_t>(settings.smtp.line_octets);
  out.text_line_octets = 0;  // who hands us mail has accepted it already
  out.mistakes = static_cast<std::uint32_t>(settings.smtp.errors);
  out.bare_newlines =
      settings.smtp.bare_newlines == "normalise" ? smtp::BareNewlines::normalise : smtp::BareNewlines::refuse;
  out.tls = tls;
  return out;
}

smtp::Reply reply_of(const Outcome& outcome, std::string_view address) {
  const int code = outcome.ok() ? 250 : outcome.kind == Outcome::Kind::temporary ? 450 : 550;
  const auto text = outcome.ok() ? std::string("Delivered")
                    : outcome.kind == Outcome::Kind::temporary && outcome.status.starts_with("4.3")
                        ? "Temporary failure, try again"
                        : printable(outcome.text);
  return {code, concat({outcome.status, " <", address, "> ", text})};
}

}  // namespace

LmtpServer::LmtpServer(net::Service& service_, Environment& environment_, LocalQueue* queue_)
    : service(service_),
      environment(environment_),
      queue(queue_),
      settings(lmtp_settings(service_.settings(), service_.tls() != nullptr)) {}

std::unique_ptr<net::Session> LmtpServer::session(std::unique_ptr<net::Connection> connection) {
  return std::make_unique<LmtpClient>(*this, std::move(connection));
}

LmtpClient::LmtpClient(LmtpServer& server, std::unique_ptr<net::Connection> connection)
    : net::Session(std::move(connection)), server_(server), session_(server.settings) {}

void LmtpClient::on_ready() {
  session_.greet();
  pump();
}

void LmtpClient::on_octets(std::string_view octets) {
  session_.receive(octets);
  pump();
}

void LmtpClient::on_drained() { pump(); }

void LmtpClient::on_tls_started() {
  session_.tls_started();
  pump();
}

void LmtpClient::on_shutdown() {
  session_.shut_down("4.3.2 Shutting down");
  pump();
}

void LmtpClient::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (connection().is_open() && !connection().is_closing()) {
    if (connection().above_high_water()) {
      connection().want_drained();
      break;
    }
    auto event = session_.next();
    if (!event) break;
    handle(*event);
  }
  pumping_ = false;
  if (!connection().is_open() || connection().is_closing()) return;
  const auto& settings = server_.service.settings().smtp;
  connection().set_timeout(session_.in_message() ? settings.data_timeout : settings.command_timeout);
  // While an answer is awaited nothing more is read: memory stays bounded.
  if (session_.waiting() != reading_paused_) {
    reading_paused_ = !reading_paused_;
    reading_paused_ ? connection().pause_reading() : connection().resume_reading();
  }
}

void LmtpClient::handle(smtp::Event& event) {
  const auto not_here = [this] { session_.answer({502, "5.5.1 Not implemented"}); };
  std::visit(overloaded{
                 [&](smtp::SendReply& e) { connection().write(e.wire); },
                 [&](smtp::CheckHello& e) { helo_ = e.domain, session_.accept(); },
                 [&](smtp::CheckSender& e) {
                   reverse_path_ = smtp::to_string(e.arguments.reverse_path);
                   smtputf8_ = e.arguments.parameters.smtputf8;
                   session_.accept();
                 },
                 [&](smtp::CheckRecipient& e) { check_recipient(e.arguments); },
                 [&](smtp::BeginMessage&) { begin_message(); },
                 [&](smtp::BodyOctets& e) {
                   if (incoming_)
                     incoming_->append(e.octets), keep_head(e.octets);
                   else
                     content_.append(e.octets);
                 },
                 [&](smtp::AbandonMessage&) { incoming_.reset(), content_.clear(); },
                 [&](smtp::EndOfMessage&) { end_message(); },
                 [&](smtp::BeginTls&) { connection().start_tls(server_.service.tls()); },
                 [&](smtp::AuthBegin&) {
                   session_.auth_failed({502, "5.5.1 Not implemented"});
                 },
                 [&](smtp::AuthResponse&) {
                   session_.auth_failed({502, "5.5.1 Not implemented"});
                 },
                 [&](smtp::AuthCancelled&) {},
                 [&](smtp::Verify&) { not_here(); },
                 [&](smtp::Expand&) { not_here(); },
                 [&](smtp::FlushQueue&) { not_here(); },
                 [&](smtp::ResetTransaction&) { forget(); },
                 [&](smtp::Close&) { connection().close_when_written(); },
             },
             event);
}

std::string_view LmtpClient::protocol() { return connection().is_tls() ? "LMTPS" : "LMTP"; }
std::string LmtpClient::peer_address() {
  return connection().peer().is_unix() ? "" : connection().peer().ip.to_string();
}

void LmtpClient::forget() {
  reverse_path_.clear(), recipients_.clear(), content_.clear(), head_.clear();
  incoming_.reset();
}

void LmtpClient::check_recipient(smtp::RcptArguments& arguments) {
  Recipient recipient;
  recipient.address = smtp::to_string(arguments.forward_path);
  auto route = server_.environment.router->route(recipient.address);
  if (!route) {
    log_event(LogLevel::error, "route_failed", {{"to", recipient.address}, {"text", route.error().text}});
    return session_.answer({451, "4.3.0 Try again later"});
  }
  if (route->refusal)
    return session_.answer(
        {route->refusal->code, concat({route->refusal->enhanced, " ", printable(route->refusal->text)})});
  if (!route->expanded && !route->all_local()) return session_.answer({550, "5.7.1 Not a local recipient"});
  recipient.route = std::move(*route);
  if (const auto& orcpt = arguments.parameters.orcpt)
    recipient.envelope.original_recipient = concat({orcpt->address_type, ";", orcpt->address});
  if (const auto& notify = arguments.parameters.notify)
    recipient.envelope.notify = {notify->never(), notify->success, notify->failure, notify->delay};
  recipients_.push_back(std::move(recipient));
  session_.accept();
}

std::vector<spool::Entry> LmtpClient::entries() {
  auto envelope = new_envelope(reverse_path_, {}, std::string(protocol()), Clock::system().now());
  envelope.id = id_;
  envelope.helo = helo_;
  envelope.client_address = peer_address();
  envelope.smtputf8 = envelope.smtputf8 || smtputf8_;
  spool::Entry local{spool::Box::local, envelope}, queue{spool::Box::queue, envelope};
  for (const auto& recipient : recipients_)
    for (const auto& target : recipient.route.targets) {
      auto row = recipient.envelope;
      row.forward_path = target.forward_path;
      if (recipient.route.expanded && row.original_recipient.empty())
        row.original_recipient = "rfc822;" + recipient.address;
      if (const auto* mailbox = std::get_if<route::LocalMailbox>(&target.destination))
        row.user = mailbox->user, row.detail = mailbox->detail;
      auto& to = std::holds_alternative<route::Remote>(target.destination) ? queue : local;
      // Two recipients that lead to one mailbox are one delivery.
      const auto same = [&](const spool::Recipient& other) {
        return other.forward_path == row.forward_path && other.user == row.user;
      };
      if (std::ranges::none_of(to.envelope.recipients, same)) to.envelope.recipients.push_back(std::move(row));
    }
  std::vector<spool::Entry> out;
  for (auto* entry : {&local, &queue})
    if (!entry->envelope.recipients.empty()) out.push_back(std::move(*entry));
  return out;
}

void LmtpClient::begin_message() {
  id_ = MessageId::generate();
  const auto address = peer_address();
  const auto received = received_field(
      {.helo = helo_,
       .client_address = address,
       .host_name = server_.settings.host_name,
       .protocol = protocol(),
       .id = id_.text(),
       .recipient = recipients_.size() == 1 ? std::string_view(recipients_[0].address) : std::string_view()},
      Clock::system().now());
  content_ = replace_all(received, "\n", "\r\n");
  if (server_.queue != nullptr) {
    auto boxes = entries();
    sends_on_ = std::ranges::any_of(boxes, [](const auto& entry) { return entry.box == spool::Box::queue; });
    head_.clear();
    incoming_ = server_.environment.writer->begin(std::move(boxes));
    incoming_->append(content_);
    content_.clear();
  }
  session_.accept();
}

/// The header of what an alias sends on: it may say TLS-Required: No.
void LmtpClient::keep_head(std::string_view octets) {
  const std::size_t most = server_.service.settings().smtp.header_octets;
  if (sends_on_ && head_.size() < most) head_.append(octets.substr(0, most - head_.size()));
}

void LmtpClient::end_message() {
  if (server_.queue == nullptr) return deliver_now();
  if (sends_on_ && message::tls_is_optional(head_)) {
    auto boxes = entries();
    for (auto& entry : boxes) entry.envelope.tls_optional = true;
    incoming_->set_entries(std::move(boxes));
  }
  head_ = {};
  const auto octets = incoming_->octets();
  // The guarded callback runs on this loop; the commit calls back on a thread of the writer.
  auto back = std::make_shared<std::function<void(Status)>>(alive_.guard([this, octets](Status status) {
    if (status)
      log_event(LogLevel::info, "accepted",
                {{"id", id_.text()},
                 {"from", reverse_path_},
                 {"recipients", recipients_.size()},
                 {"octets", octets},
                 {"client", peer_address()},
                 {"protocol", "LMTP"}});
    committed(status);
  }));
  spool::Incoming::commit(
      std::move(incoming_),
      [queue = server_.queue, id = id_](const Status& status) {
        if (status) queue->found(std::span(&id, 1));
      },
      [loop_of = &loop(), back](Status status) {
        loop_of->post([back, status = std::move(status)]() mutable { (*back)(std::move(status)); });
      });
}

void LmtpClient::committed(const Status& status) {
  std::vector<smtp::Reply> replies;
  if (!status) log_event(LogLevel::error, "accept_failed", {{"id", id_.text()}, {"text", status.error().text}});
  for (const auto& recipient : recipients_)
    replies.push_back(status ? smtp::Reply{250, concat({"2.0.0 <", recipient.address, "> Accepted as ", id_.text()})}
                             : smtp::Reply{452, "4.3.1 Insufficient system storage"});
  session_.answer_each(std::move(replies));
  pump();
}

void LmtpClient::deliver_now() {
  // One addressee per target; the replies are per recipient.
  struct Work {
    std::string content;
    Item item;
    std::vector<std::size_t> recipient_of;
  };
  auto work = std::make_shared<Work>();
  work->content = std::move(content_);
  work->item.content = work->content;
  work->item.reverse_path = reverse_path_;
  work->item.smtputf8 = smtputf8_;
  for (std::size_t i = 0; i < recipients_.size(); ++i)
    for (const auto& target : recipients_[i].route.targets) {
      const auto* mailbox = std::get_if<route::LocalMailbox>(&target.destination);
      work->item.addressees.push_back({target.forward_path, mailbox != nullptr ? mailbox->user : "",
                                       mailbox != nullptr ? mailbox->detail : "", "",
                                       concat({id_.text(), "-", decimal(work->recipient_of.size())})});
      work->recipient_of.push_back(i);
    }
  server_.service.workers().submit(
      loop(), [work, agent = server_.environment.agent.get()] { return agent->deliver(std::span(&work->item, 1)); },
      alive_.guard([this, work](std::vector<std::vector<Outcome>> outcomes) {
        std::vector<Outcome> worst(recipients_.size());
        for (std::size_t k = 0; k < work->recipient_of.size(); ++k) {
          const auto& outcome = outcomes[0][k];
          log_event(outcome.ok() ? LogLevel::info : LogLevel::warning, outcome.ok() ? "delivered" : "delivery_failed",
                    {{"id", id_.text()},
                     {"from", reverse_path_},
                     {"to", work->item.addressees[k].forward_path},
                     {"status", outcome.status},
                     {"text", outcome.text}});
          worst[work->recipient_of[k]] = worse(std::move(worst[work->recipient_of[k]]), outcome);
        }
        std::vector<smtp::Reply> replies;
        for (std::size_t i = 0; i < worst.size(); ++i) replies.push_back(reply_of(worst[i], recipients_[i].address));
        session_.answer_each(std::move(replies));
        pump();
      }));
}

}  // namespace mail::mda
