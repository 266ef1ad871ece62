#include "mta/serve/policy/delegation.h"

#include <algorithm>

#include "base/strings.h"
#include "message/header.h"
#include "smtp/path.h"

namespace mail::mta {
namespace {

constexpr std::size_t kMostAnswerOctets = 16384;
constexpr std::size_t kMostReplyText = 450;  // a reply line has 512 octets (RFC 5321 section 4.5.3.1.5)
constexpr std::size_t kMostFieldLine = 998;  // RFC 5322 section 2.1.1

/// Cut to a length, not within a character.
std::string shortened(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0U) == 0x80U) --most;
  text.resize(most);
  return text;
}

/// One header field on one line: nothing that would end it, and no more than a line may hold.
bool is_header_field(std::string_view text) {
  const auto colon = text.find(':');
  return colon != std::string_view::npos && message::is_field_name(text.substr(0, colon)) &&
         text.size() <= kMostFieldLine &&
         std::ranges::none_of(text, [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; });
}

void add(std::string& to, std::string_view name, std::string_view value) {
  to.append(name).append("=");
  for (const char c : value)
    to += c == '\n' || c == '\r' || c == '\0' ? '?' : c;  // nothing from the network adds a line
  to += '\n';
}

}  // namespace

std::string to_wire(const DelegationQuestion& question) {
  std::string out;
  add(out, "request", "smtpd_access_policy");
  add(out, "protocol_state", question.stage);
  add(out, "protocol_name", question.protocol);
  add(out, "client_address", question.client_address);
  add(out, "client_name", question.client_name.empty() ? "unknown" : question.client_name);
  add(out, "reverse_client_name", question.client_name.empty() ? "unknown" : question.client_name);
  add(out, "helo_name", question.helo);
  add(out, "queue_id", "");
  add(out, "instance", question.id);
  add(out, "sender", question.sender);
  add(out, "recipient", question.recipient);
  add(out, "recipient_count", decimal(question.recipients));
  add(out, "size", decimal(question.size));
  add(out, "sasl_username", question.user);
  add(out, "encryption_protocol", question.tls_protocol);
  add(out, "encryption_cipher", question.tls_cipher);
  return out + "\n";
}

std::optional<std::string_view> action_of(std::string_view answer) {
  for (const auto line : split(answer, '\n'))
    if (line.starts_with("action=")) return trim(line.substr(7));
  return std::nullopt;
}

DelegationAnswer parse_action(std::string_view action) {
  const auto [word, rest] = split_once(action, ' ');
  const auto text = trim(rest);
  const auto reply = [&](int code, std::string_view enhanced, std::string_view otherwise) {
    auto shown = shortened(printable(text.empty() ? otherwise : text), kMostReplyText);
    DelegationAnswer answer;
    answer.refusal = smtp::Reply{code, std::move(shown)};
    if (!answer.refusal->enhanced()) answer.refusal->text.insert(0, concat({enhanced, " "}));
    return answer;
  };
  if (word.empty() || iequals(word, "OK") || iequals(word, "DUNNO") || iequals(word, "permit") ||
      parse_decimal(word).value_or(0) == 200)
    return {};
  if (iequals(word, "REJECT")) return reply(554, "5.7.1", "Access denied");
  if (iequals(word, "DEFER") || iequals(word, "DEFER_IF_PERMIT") || iequals(word, "DEFER_IF_REJECT"))
    return reply(450, "4.7.1", "Service unavailable, try later");
  if (const auto code = parse_decimal<int>(word); code && *code >= 400 && *code <= 599)
    return reply(*code, *code < 500 ? "4.7.1" : "5.7.1", "Access denied");
  DelegationAnswer answer;
  if (iequals(word, "HOLD"))
    answer.hold = true;
  else if (iequals(word, "DISCARD"))
    answer.discard = true;
  else if (iequals(word, "WARN") || iequals(word, "INFO"))
    answer.remark = printable(concat({word, " ", text}));
  else if ((iequals(word, "REDIRECT") || iequals(word, "BCC")) && smtp::parse_mailbox(text))
    (iequals(word, "BCC") ? answer.bcc : answer.redirect) = text;
  else if (iequals(word, "PREPEND") && is_header_field(text))
    answer.prepend = text;
  else
    answer.ignored = printable(action);
  return answer;
}

DelegationClient::DelegationClient(net::Loop& loop, net::SocketAddress server, std::chrono::milliseconds timeout)
    : loop_(loop), server_(std::move(server)), timeout_(timeout), timer_(loop, [this] {
        connector_.reset();
        connection_.reset();
        finish(fail(Error::Kind::temporary, "policy server: no answer in time"));
      }) {}

DelegationClient::~DelegationClient() = default;

void DelegationClient::ask(const DelegationQuestion& question, Callback callback) {
  question_ = to_wire(question);
  answer_.clear();
  callback_ = std::move(callback);
  timer_.start(timeout_);
  connection_ ? send() : connect();
}

void DelegationClient::connect() {
  fresh_ = true;
  connector_ = std::make_unique<net::Connector>(loop_, server_, timeout_, [this](auto made) {
    if (!made) return finish(tl::unexpected(std::move(made).error()));
    connection_ = std::move(*made);
    connection_->set_handler(this);
    send();
  });
}

void DelegationClient::send() { connection_->write(question_); }

void DelegationClient::on_octets(std::string_view octets) {
  answer_.append(octets);
  if (answer_.size() > kMostAnswerOctets) {
    connection_->abort();
    return on_closed(net::CloseReason::error);
  }
  const auto end = answer_.find("\n\n");
  if (end == std::string::npos) return;
  const auto action = action_of(std::string_view(answer_).substr(0, end + 1));
  fresh_ = false;
  if (!action) return finish(fail(Error::Kind::temporary, "policy server: an answer without action"));
  finish(std::string(*action));
}

void DelegationClient::on_closed(net::CloseReason reason) {
  loop_.defer([dead = std::shared_ptr<net::Connection>(std::move(connection_))] {});
  if (!callback_) return;
  // A server closes what was idle for long, perhaps just when we asked: once more.
  if (!fresh_) return connect();
  finish(fail(Error::Kind::temporary, concat({"policy server: ", net::to_string(reason)})));
}

void DelegationClient::finish(Result<std::string> result) {
  timer_.cancel();
  if (callback_) std::exchange(callback_, nullptr)(std::move(result));
}

}  // namespace mail::mta
