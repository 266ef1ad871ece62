#include "smtp/client_session.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::smtp {

ClientSession::ClientSession(ClientSettings settings) : settings_(std::move(settings)), tls_(settings_.tls) {
  expected_.push_back(Expect::greeting);
}

void ClientSession::receive(std::string_view octets) {
  if (!over_) input_.append(octets);
}

std::optional<ClientEvent> ClientSession::next() {
  for (;;) {
    if (!output_.empty()) {
      sending_.swap(output_);
      output_.clear();
      return SendOctets{sending_};
    }
    while (!body_.empty()) {
      if (const auto piece = stuff(); !piece.empty()) return SendOctets{piece};
    }
    if (!events_.empty()) {
      auto event = std::move(events_.front());
      events_.pop_front();
      return event;
    }
    if (over_ || input_.empty()) return std::nullopt;
    std::string_view unread = input_;
    auto reply = reader_.take(unread);
    input_.erase(0, input_.size() - unread.size());
    if (!reply) {
      end_session(awaited(), {421, concat({"4.5.0 ", reply.error().text})});
    } else if (*reply) {
      on_reply(**std::move(reply));
    }
  }
}

void ClientSession::command(std::string_view line, Expect expect) {
  output_.append(line).append("\r\n");
  expected_.push_back(expect);
}

void ClientSession::say_hello() {
  command(concat({settings_.lmtp ? "LHLO " : "EHLO ", settings_.host_name}), Expect::ehlo);
}

// Replies

void ClientSession::on_reply(Reply reply) {
  if (expected_.empty()) return on_unexpected(std::move(reply));
  const auto expect = expected_.front();
  if (reply.code == 421 && expect != Expect::quit) return end_session(awaited(), std::move(reply));
  expected_.pop_front();
  switch (expect) {
    case Expect::greeting:
      greeting_ = reply;
      if (reply.code != 220) return end_session(Stage::connect, std::move(reply));
      return say_hello();
    case Expect::ehlo:
    case Expect::helo:
      return on_hello(expect, std::move(reply));
    case Expect::starttls:
      return on_starttls(std::move(reply));
    case Expect::auth:
      return on_auth(std::move(reply));
    case Expect::noop:
      events_.push_back(Ready{});
      return;
    case Expect::quit:
      return end_session(Stage::end_of_data, std::move(reply), true);
    case Expect::rset:
      return begin_transactions();
    case Expect::mail:
      return on_mail(transactions_.front(), std::move(reply));
    case Expect::rcpt:
      return on_rcpt(transactions_.front(), std::move(reply));
    case Expect::data:
      return on_data(transactions_.front(), std::move(reply));
    case Expect::end:
      return on_end(transactions_.front(), std::move(reply));
  }
}

/// A reply to no command: a server may say 421 at any time, or refuse in the middle of the content. Anything else means
/// that the two ends are no longer in step, and nothing it says is believed (a 250 before the dot is no delivery).
void ClientSession::on_unexpected(Reply reply) {
  if (reply.temporary() || (reply.permanent() && body_open_)) return end_session(awaited(), std::move(reply));
  end_session(awaited(), {421, concat({"4.5.0 a reply to no command: ", reply.line()})});
}

void ClientSession::on_hello(Expect expect, Reply reply) {
  if (reply.positive()) {
    offered_ = expect == Expect::ehlo ? parse_ehlo(reply) : Offered{};
    ready_ = true;
    events_.push_back(Ready{});
    return begin_transactions();
  }
  // RFC 5321 section 3.2: a server that does not know EHLO is asked with HELO.
  if (expect == Expect::ehlo && reply.permanent() && !settings_.lmtp)
    return command(concat({"HELO ", settings_.host_name}), Expect::helo);
  end_session(Stage::hello, std::move(reply));
}

void ClientSession::start_tls() {
  ready_ = false;
  command("STARTTLS", Expect::starttls);
}

void ClientSession::on_starttls(Reply reply) {
  if (reply.code == 220) {
    // What came behind the 220 in clear may be from anybody: it must not be taken for replies under TLS.
    input_.clear();
    reader_.reset();
    events_.push_back(StartTls{});
    return;
  }
  ready_ = true;
  events_.push_back(TlsRefused{std::move(reply)});
  events_.push_back(Ready{});
}

void ClientSession::tls_started() {
  input_.clear();
  reader_.reset();
  expected_.clear();
  offered_ = {};
  tls_ = true;
  say_hello();
}

void ClientSession::authenticate(std::string_view mechanism, std::optional<std::string_view> initial) {
  ready_ = false;
  std::string line = concat({"AUTH ", mechanism});
  if (initial) line += initial->empty() ? std::string(" =") : " " + to_base64(*initial);
  command(line, Expect::auth);
}

void ClientSession::auth_respond(std::string_view response) { command(to_base64(response), Expect::auth); }
void ClientSession::auth_cancel() { command("*", Expect::auth); }

void ClientSession::on_auth(Reply reply) {
  if (reply.code == 334) {
    auto challenge = from_base64(trim(reply.text));
    if (!challenge) return auth_cancel();
    events_.push_back(AuthChallenge{*std::move(challenge)});
    return;
  }
  ready_ = true;
  const bool succeeded = reply.positive();
  events_.push_back(AuthResult{succeeded, std::move(reply)});
  events_.push_back(Ready{});
  begin_transactions();
}

// Transactions

MailParameters ClientSession::usable(const OutgoingMessage& message) const {
  auto use = message.parameters;
  use.size = message.octets != 0 ? std::optional(message.octets) : message.parameters.size;
  if (!offered_.size) use.size.reset();
  const bool knows_body = use.body == Body::binary_mime ? offered_.binarymime : offered_.eight_bit_mime;
  if (!knows_body || use.body == Body::seven_bit) use.body.reset();
  if (!offered_.dsn) use.ret.reset(), use.envid.reset();
  if (offered_.auth.empty()) use.auth.reset();
  if (!offered_.mt_priority) use.mt_priority.reset();
  if (!offered_.deliver_by) use.deliver_by.reset();
  return use;
}

MaybeReply ClientSession::cannot_send(const OutgoingMessage& message) const {
  const auto& wanted = message.parameters;
  const auto has_control = [](const Mailbox& mailbox) {
    return std::ranges::any_of(to_string(mailbox),
                               [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
  };
  bool utf8 = wanted.smtputf8 || needs_smtputf8(message.reverse_path);
  bool control = has_control(message.reverse_path);
  for (const auto& recipient : message.recipients) {
    utf8 = utf8 || needs_smtputf8(recipient.forward_path);
    control = control || has_control(recipient.forward_path);
  }
  if (control) return Reply{553, "5.1.3 A control character in an address"};
  if (utf8 && !offered_.smtputf8) return Reply{550, "5.6.7 The next host does not offer SMTPUTF8"};
  if (wanted.require_tls && !(tls_ && offered_.requiretls))
    return Reply{550, "5.7.30 The next host does not offer REQUIRETLS"};
  if (wanted.body == Body::binary_mime &&
      !(offered_.binarymime && offered_.chunking && settings_.chunking && message.octets != 0))
    return Reply{554, "5.6.3 The next host does not offer BINARYMIME"};
  if (wanted.body == Body::eight_bit_mime && !offered_.eight_bit_mime)
    return Reply{554, "5.6.3 The next host does not offer 8BITMIME"};
  if ((wanted.hold_for_seconds || wanted.hold_until) && offered_.hold_seconds == 0)
    return Reply{554, "5.5.4 The next host does not offer FUTURERELEASE"};
  if (wanted.deliver_by && wanted.deliver_by->return_when_late && !offered_.deliver_by)
    return Reply{554, "5.4.7 The next host does not offer DELIVERBY"};
  if (offered_.size_octets != 0 && message.octets > offered_.size_octets)
    return Reply{552, "5.3.4 The message is bigger than the next host takes"};
  return {};
}

void ClientSession::send(OutgoingMessage message) {
  auto& transaction = transactions_.emplace_back();
  transaction.results.resize(message.recipients.size());
  transaction.message = std::move(message);
  if (over_) {
    settle(transaction, {421, "4.4.2 The session is over"}, Stage::local);
    return finish_transaction(false);
  }
  begin_transactions();
}

/// Begins each transaction whose turn it is: the first; with PIPELINING the second too, once the content of the first
/// is on its way.
void ClientSession::begin_transactions() {
  while (ready_ && !over_ && !transactions_.empty()) {
    const bool first_begun = transactions_.front().begun;
    if (first_begun && !(pipelining() && transactions_.front().body_finished && transactions_.size() > 1)) return;
    auto& next = transactions_[first_begun ? 1 : 0];
    if (next.begun || (!pipelining() && !expected_.empty())) return;
    if (auto refusal = cannot_send(next.message); refusal || next.message.recipients.empty()) {
      if (first_begun) return;  // its result comes in its turn
      if (refusal) settle(next, *refusal, Stage::local);
      finish_transaction(false);
      continue;
    }
    next.begun = true;
    write_envelope(next);
  }
}

void ClientSession::write_envelope(Transaction& transaction) {
  const auto& message = transaction.message;
  transaction.bdat = settings_.chunking && offered_.chunking && message.octets != 0;
  const auto parameters = to_string(usable(message));
  command(concat({"MAIL FROM:", to_path(message.reverse_path), parameters.empty() ? "" : " ", parameters}),
          Expect::mail);
  if (!pipelining()) return;
  while (transaction.asked < message.recipients.size()) write_rcpt(transaction);
  if (transaction.bdat) return;
  transaction.data_written = true;
  command("DATA", Expect::data);
}

void ClientSession::write_rcpt(Transaction& transaction) {
  const auto& recipient = transaction.message.recipients[transaction.asked++];
  const auto parameters = offered_.dsn ? to_string(recipient.parameters) : std::string();
  command(concat({"RCPT TO:", to_path(recipient.forward_path), parameters.empty() ? "" : " ", parameters}),
          Expect::rcpt);
}

/// The last word for every recipient that has none.
void ClientSession::settle(Transaction& transaction, const Reply& reply, Stage stage) {
  for (auto& result : transaction.results)
    if (result.reply.code == 0) result = {reply, stage};
}

void ClientSession::on_mail(Transaction& transaction, Reply reply) {
  if (!reply.positive()) {
    transaction.mail_refused = true;
    settle(transaction, reply, Stage::mail);
    if (transaction.asked == 0) return finish_transaction(false);
    return;
  }
  if (transaction.asked == 0) write_rcpt(transaction);
}

void ClientSession::on_rcpt(Transaction& transaction, Reply reply) {
  auto& result = transaction.results[transaction.answered++];
  if (!transaction.mail_refused) {
    if (reply.positive())
      ++transaction.accepted;
    else
      result = {std::move(reply), Stage::rcpt};
  }
  if (transaction.asked < transaction.results.size()) return write_rcpt(transaction);
  if (transaction.answered == transaction.results.size()) after_recipients(transaction);
}

void ClientSession::after_recipients(Transaction& transaction) {
  if (transaction.data_written) return;  // on_data() decides
  if (transaction.accepted == 0) return finish_transaction(!transaction.mail_refused);
  if (!transaction.bdat) {
    transaction.data_written = true;
    return command("DATA", Expect::data);
  }
  command(concat({"BDAT ", decimal(transaction.message.octets), " LAST"}), Expect::end);
  want_body();
}

void ClientSession::want_body() {
  body_open_ = true;
  body_bdat_ = transactions_.front().bdat;
  body_octets_ = 0;
  body_at_line_start_ = true;
  body_held_cr_ = body_dot_sent_ = false;
  events_.push_back(BodyWanted{});
}

void ClientSession::on_data(Transaction& transaction, Reply reply) {
  if (reply.code != 354) {
    // A 2xx here is as wrong as a 5xx, but may mean anything: try again later.
    if (reply.positive()) reply = {451, concat({"4.5.0 unexpected reply to DATA: ", reply.line()})};
    settle(transaction, reply, Stage::data);
    return finish_transaction(true);
  }
  if (transaction.accepted != 0) return want_body();
  // Pipelined DATA without recipients, yet 354: an empty message takes us out of it (RFC 2920 section 3.1).
  output_ += ".\r\n";
  transaction.body_finished = true;
  expected_.push_back(Expect::end);
}

void ClientSession::on_end(Transaction& transaction, Reply reply) {
  if (transaction.bdat && body_open_) return end_session(Stage::end_of_data, std::move(reply));
  if (transaction.accepted == 0) return finish_transaction(false);
  if (reply.intermediate()) reply = {451, concat({"4.5.0 unexpected reply to the message: ", reply.line()})};
  if (!settings_.lmtp) {
    settle(transaction, reply, Stage::end_of_data);
    return finish_transaction(false);
  }
  const auto open =
      std::ranges::find_if(transaction.results, [](const auto& result) { return result.reply.code == 0; });
  *open = {std::move(reply), Stage::end_of_data};
  if (++transaction.end_replies == transaction.accepted) return finish_transaction(false);
  expected_.push_front(Expect::end);
}

void ClientSession::finish_transaction(bool reset) {
  events_.push_back(MessageResult{std::move(transactions_.front().results)});
  transactions_.pop_front();
  if (over_) return;
  if (reset) command("RSET", Expect::rset);
  begin_transactions();
}

// The content

void ClientSession::body(std::string_view octets) {
  if (!body_open_) return;
  while (!body_.empty()) output_.append(stuff());
  body_ = octets;
}

/// The next piece of body_ as it goes on the wire; empty where a CR is held back.
std::string_view ClientSession::stuff() {
  constexpr std::string_view kCrLf = "\r\n";
  const auto give = [&](std::size_t length) {
    const auto piece = body_.substr(0, length);
    body_.remove_prefix(length);
    body_octets_ += length;
    return piece;
  };
  if (body_held_cr_) {
    body_held_cr_ = false;
    if (body_.front() == '\n') body_.remove_prefix(1);
    body_at_line_start_ = true;
    body_octets_ += 2;
    return kCrLf;
  }
  std::size_t at = 0;
  while (at < body_.size()) {
    if (body_at_line_start_ && body_[at] == '.' && !body_bdat_ && !body_dot_sent_) {
      if (at != 0) return give(at);
      body_dot_sent_ = true;
      return ".";
    }
    body_at_line_start_ = body_dot_sent_ = false;
    const auto rest = body_.substr(at);
    const auto end = rest.find('\n');
    const auto cr = rest.substr(0, end).find('\r');
    if (cr == std::string_view::npos && end == std::string_view::npos) return give(body_.size());
    const bool whole = cr != std::string_view::npos && cr + 1 == end;
    if (whole) {
      at += end + 1;
      body_at_line_start_ = true;
      continue;
    }
    const auto stop = at + std::min(cr, end);
    if (stop != 0) return give(stop);
    // A CR or LF of its own becomes CRLF; whether the CR is one hangs on the next octet.
    const bool line_feed = body_.front() == '\n';
    body_.remove_prefix(1);
    if (!line_feed) {
      body_held_cr_ = true;
      return {};
    }
    body_octets_ += 2;
    body_at_line_start_ = true;
    return kCrLf;
  }
  return give(at);
}

void ClientSession::finish_body() {
  if (!body_open_) return;
  while (!body_.empty()) output_.append(stuff());
  if (body_held_cr_ || !body_at_line_start_) {
    output_ += "\r\n";
    body_octets_ += 2;
  }
  body_held_cr_ = false;
  body_open_ = false;
  if (body_bdat_) {
    if (body_octets_ != transactions_.front().message.octets)
      return end_session(Stage::local, {451, "4.3.0 The message has another length than was announced"});
  } else {
    output_ += ".\r\n";
    expected_.push_back(Expect::end);
  }
  transactions_.front().body_finished = true;
  begin_transactions();
}

// Ends

void ClientSession::quit() {
  if (!over_) command("QUIT", Expect::quit);
}

void ClientSession::probe() {
  if (!over_) command("NOOP", Expect::noop);
}

void ClientSession::disconnected(std::string_view why) {
  if (over_) return;
  end_session(awaited(), {421, concat({"4.4.2 ", why})});
}

void ClientSession::end_session(Stage stage, Reply reply, bool by_quit) {
  if (over_) return;
  over_ = true;
  ready_ = body_open_ = false;
  body_ = {};
  output_.clear();
  expected_.clear();
  const auto word = reply.temporary() || reply.permanent() ? reply : Reply{421, "4.4.2 The session ended"};
  while (!transactions_.empty()) {
    settle(transactions_.front(), word, stage);
    finish_transaction(false);
  }
  events_.push_back(SessionOver{stage, std::move(reply), by_quit});
}

Stage ClientSession::awaited() const {
  if (body_open_) return Stage::data;
  if (expected_.empty()) return Stage::local;
  switch (expected_.front()) {
    case Expect::greeting:
      return Stage::connect;
    case Expect::ehlo:
    case Expect::helo:
    case Expect::starttls:
    case Expect::auth:
    case Expect::noop:
    case Expect::quit:
      return Stage::hello;
    case Expect::mail:
    case Expect::rset:
      return Stage::mail;
    case Expect::rcpt:
      return Stage::rcpt;
    case Expect::data:
      return Stage::data;
    case Expect::end:
      return Stage::end_of_data;
  }
  return Stage::local;
}

}  // namespace mail::smtp
