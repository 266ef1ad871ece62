#include "mua/sendmail_smtp.h"

#include <sysexits.h>
#include <unistd.h>

#include "base/overloaded.h"
#include "base/strings.h"
#include "mua/text.h"
#include "smtp/server_session.h"

namespace mail::mua {

namespace {

class StandardSmtp {
 public:
  StandardSmtp(const Context& context, Way way, smtp::ServerSettings settings)
      : context_(context), way_(std::move(way)), settings_(std::move(settings)), session_(settings_) {}

  int run() {
    session_.greet();
    char buffer[65536];
    for (;;) {
      if (!pump()) return EX_IOERR;
      if (closed_) return 0;
      const auto count = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return count == 0 ? 0 : EX_IOERR;
      session_.receive({buffer, static_cast<std::size_t>(count)});
    }
  }

 private:
  bool pump() {
    bool written = true;
    while (auto event = session_.next()) {
      std::visit(overloaded{
                     [&](const smtp::SendReply& e) { written = print(e.wire) && written; },
                     [&](const smtp::CheckHello&) { session_.accept(); },
                     [&](const smtp::CheckSender& e) {
                       mail_ = std::move(e.arguments);
                       recipients_.clear();
                       session_.accept();
                     },
                     [&](const smtp::CheckRecipient& e) {
                       recipients_.push_back(std::move(e.arguments));
                       session_.accept();
                     },
                     [&](const smtp::BeginMessage&) {
                       content_.clear();
                       session_.accept();
                     },
                     [&](const smtp::BodyOctets& e) { content_ += e.octets; },
                     [&](const smtp::AbandonMessage&) { content_.clear(); },
                     [&](const smtp::EndOfMessage&) { session_.answer(take_message()); },
                     [&](const smtp::ResetTransaction&) { recipients_.clear(); },
                     [&](const smtp::Close&) { closed_ = true; },
                     // None of these is announced, so none comes.
                     [&](const smtp::BeginTls&) { closed_ = true; },
                     [&](const smtp::AuthBegin&) {
                       session_.auth_failed({504, "5.5.4 No such mechanism"});
                     },
                     [&](const smtp::AuthResponse&) {
                       session_.auth_failed({504, "5.5.4 No such mechanism"});
                     },
                     [](const smtp::AuthCancelled&) {},
                     [&](const smtp::Verify&) { session_.accept(); },
                     [&](const smtp::Expand&) { session_.accept(); },
                     [&](const smtp::FlushQueue&) { session_.accept(); },
                 },
                 *event);
    }
    return written;
  }

  smtp::Reply take_message() {
    spool::Envelope envelope;
    envelope.id = MessageId::generate();
    envelope.arrival = Clock::system().now();
    envelope.protocol = "local";
    envelope.client_address = "uid:" + decimal(::getuid());
    envelope.reverse_path = smtp::to_string(mail_.reverse_path);
    envelope.smtputf8 = mail_.parameters.smtputf8;
    envelope.envelope_id = mail_.parameters.envid.value_or("");
    if (mail_.parameters.ret)
      envelope.return_content =
          *mail_.parameters.ret == smtp::Ret::full ? spool::ReturnContent::full : spool::ReturnContent::header_fields;
    for (const auto& recipient : recipients_) {
      spool::Recipient to;
      to.forward_path = smtp::to_string(recipient.forward_path);
      if (const auto& notify = recipient.parameters.notify)
        to.notify = {notify->never(), notify->success, notify->failure, notify->delay};
      if (const auto& original = recipient.parameters.orcpt)
        to.original_recipient = concat({original->address_type, ";", original->address});
      envelope.recipients.push_back(std::move(to));
    }
    Outgoing outgoing{std::move(envelope), std::move(content_)};
    if (!is_ascii(outgoing.content)) outgoing.envelope.body = spool::BodyType::eight_bit_mime;
    content_.clear();
    const auto sent = send(outgoing, way_, context_.outbox_path());
    if (!sent) return smtp::reply_for(sent.error(), "The message could not be taken");
    return {250, concat({"2.0.0 ", outgoing.envelope.id.text(), sent->how == Sent::How::kept ? " kept" : " accepted"})};
  }

  const Context& context_;
  Way way_;
  smtp::ServerSettings settings_;
  smtp::ServerSession session_;
  smtp::MailArguments mail_;
  std::vector<smtp::RcptArguments> recipients_;
  std::string content_;
  bool closed_ = false;
};

}  // namespace

int speak_smtp(const Context& context) {
  const auto account = context.account();
  if (!account) return complain(account.error().text, EX_CONFIG);
  auto way = context.way(*account);
  if (!way) return complain(way.error().text, EX_CONFIG);
  smtp::ServerSettings settings;
  settings.host_name = way->host_name;
  settings.hello_required = false;
  return StandardSmtp(context, std::move(*way), settings).run();
}

}  // namespace mail::mua
