// Submission (RFC 6409) by smtp::ClientSession over a connection of our own.
#include <algorithm>

#include "base/overloaded.h"
#include "base/strings.h"
#include "mua/outgoing.h"
#include "smtp/client_session.h"

namespace mail::mua {

namespace {

smtp::OutgoingMessage to_smtp(const Outgoing& message) {
  smtp::OutgoingMessage out;
  const auto& envelope = message.envelope;
  if (const auto path = smtp::parse_mailbox(envelope.reverse_path)) out.reverse_path = *path;
  if (!is_ascii(message.content)) out.parameters.body = smtp::Body::eight_bit_mime;
  out.parameters.smtputf8 = envelope.smtputf8;
  if (envelope.return_content == spool::ReturnContent::full) out.parameters.ret = smtp::Ret::full;
  if (envelope.return_content == spool::ReturnContent::header_fields) out.parameters.ret = smtp::Ret::headers;
  if (!envelope.envelope_id.empty()) out.parameters.envid = envelope.envelope_id;
  out.octets = message.content.size();
  for (const auto& recipient : envelope.recipients) {
    smtp::OutgoingRecipient to;
    if (const auto path = smtp::parse_mailbox(recipient.forward_path)) to.forward_path = *path;
    if (recipient.notify.given())
      to.parameters.notify = smtp::Notify{recipient.notify.success, recipient.notify.failure, recipient.notify.delay};
    out.recipients.push_back(std::move(to));
  }
  return out;
}

/// One conversation from the greeting to the result.
class Submission {
 public:
  Submission(const Outgoing& message, const Way& way)
      : message_(message), login_(*way.submission), session_({.host_name = way.host_name}) {}

  Result<Outcome> run() {
    MAIL_TRY(transport, connect(login_));
    transport_ = &transport;
    if (login_.url.tls == Url::Tls::implicit) encrypted_ = true;
    while (!done_) {
      while (const auto event = session_.next()) {
        MAIL_CHECK(std::visit([&](const auto& e) { return on(e); }, *event));
        if (done_) break;
      }
      if (done_) break;
      MAIL_TRY(octets, transport.read_some());
      if (octets.empty()) {
        session_.disconnected("the server closed the connection");
        closed_ = true;
      } else {
        session_.receive(octets);
      }
      if (closed_ && !result_ && !session_.over())
        return fail(Error::Kind::temporary, "the server closed the connection");
    }
    if (!result_) return fail(Error::Kind::temporary, concat({login_.url.host, ": ", last_}));
    return judge();
  }

 private:
  Status on(const smtp::SendOctets& e) { return transport_->write_all(e.octets); }
  Status on(const smtp::Ready&) {
    if (result_) return {};  // QUIT is on its way
    if (login_.url.tls == Url::Tls::starttls && !encrypted_) {
      if (!session_.offered().starttls)
        return fail(Error::Kind::refused, concat({login_.url.host, " offers no STARTTLS: nothing was sent"}));
      session_.start_tls();
      return {};
    }
    if (!login_.url.user.empty() && !authenticated_) {
      MAIL_TRY(exchange, begin_login(login_, *transport_, session_.offered().auth));
      exchange_ = std::move(exchange);
      session_.authenticate(exchange_->mechanism(), exchange_->initial_response());
      return {};
    }
    session_.send(to_smtp(message_));
    return {};
  }
  Status on(const smtp::StartTls&) {
    MAIL_CHECK(start_tls(*transport_, login_));
    encrypted_ = true;
    session_.tls_started();
    return {};
  }
  Status on(const smtp::TlsRefused& e) {
    return fail(Error::Kind::temporary, concat({login_.url.host, " refused TLS: ", e.reply.line()}));
  }
  Status on(const smtp::AuthChallenge& e) {
    const auto response = exchange_->step(e.challenge);
    if (!response) {
      session_.auth_cancel();
      return tl::unexpected(response.error());
    }
    session_.auth_respond(*response);
    return {};
  }
  Status on(const smtp::AuthResult& e) {
    if (!e.succeeded) {
      const auto kind = e.reply.temporary() ? Error::Kind::temporary : Error::Kind::refused;
      return fail(kind,
                  concat({login_.url.host, " does not accept the log-in of ", login_.url.user, ": ", e.reply.line()}));
    }
    MAIL_CHECK(exchange_->succeeded());
    authenticated_ = true;
    return {};
  }
  Status on(const smtp::BodyWanted&) {
    // Several pieces, so that the peer is read from in between and a large message is not copied whole.
    constexpr std::size_t kPiece = 256U << 10U;
    for (std::size_t at = 0; at < message_.content.size(); at += kPiece) {
      session_.body(std::string_view(message_.content).substr(at, kPiece));
      MAIL_CHECK(flush());
    }
    session_.finish_body();
    return flush();
  }
  Status on(const smtp::MessageResult& e) {
    result_ = e;
    session_.quit();
    return {};
  }
  Status on(const smtp::SessionOver& e) {
    last_ = e.reply.line();
    over_reply_ = e.reply;
    done_ = true;
    return {};
  }
  /// Sends what the body has become; other events wait for the main loop.
  Status flush() {
    while (const auto event = session_.next()) MAIL_CHECK(std::visit([&](const auto& e) { return on(e); }, *event));
    return {};
  }

  Outcome judge() const {
    Outcome out;
    for (std::size_t i = 0; i < result_->recipients.size(); ++i) {
      const auto& reply = result_->recipients[i].reply;
      if (reply.positive()) {
        out.accepted = reply.line();
        continue;
      }
      (reply.temporary() ? out.later : out.refused).push_back(i);
      out.why +=
          concat({out.why.empty() ? "" : "; ", message_.envelope.recipients[i].forward_path, ": ", reply.line()});
    }
    return out;
  }

  const Outgoing& message_;
  const Login& login_;
  smtp::ClientSession session_;
  net::BlockingTransport* transport_ = nullptr;
  std::unique_ptr<sasl::ClientExchange> exchange_;
  std::optional<smtp::MessageResult> result_;
  smtp::Reply over_reply_;
  std::string last_ = "no answer";
  bool encrypted_ = false;
  bool authenticated_ = false;
  bool done_ = false;
  bool closed_ = false;
};

}  // namespace

Result<Outcome> submit(const Outgoing& message, const Way& way) {
  auto result = Submission(message, way).run();
  // A host that is not found may be there tomorrow (no network at all looks the same).
  if (!result && result.error().kind == Error::Kind::not_found)
    return fail(Error::Kind::temporary, result.error().text);
  return result;
}

}  // namespace mail::mua
