#include "milter/session.h"

#include <algorithm>

#include "base/strings.h"
#include "message/header.h"

namespace mail::milter {
namespace {

// What Sendmail and Postfix send where a filter asks for nothing else.
constexpr std::array<std::string_view, kStages> kUsualMacros{
    "j {daemon_name} {daemon_addr} v _",
    "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
    "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    "i",
    "i",
    "i"};

std::string joined(std::string_view path, const std::vector<std::string>& parameters) {
  std::string data;
  append_text(data, path);
  for (const auto& parameter : parameters) append_text(data, parameter);
  return data;
}

/// A field's value as filters have it: lines end with LF.
std::string with_newlines(std::string_view value) { return replace_all(value, "\r\n", "\n"); }

/// A value from a filter, fit for a header: whatever it takes for a line end becomes CRLF, and no line but a folded one
/// follows; NUL cannot be in it.
std::string as_folded(std::string_view value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c != '\r' && c != '\n') {
      out += c;
      continue;
    }
    if (c == '\r' && i + 1 < value.size() && value[i + 1] == '\n') ++i;
    if (i + 1 == value.size()) break;  // the field's own end
    if (value[i + 1] == '\r' || value[i + 1] == '\n') continue;
    out += "\r\n";
    if (!is_space(static_cast<unsigned char>(value[i + 1]))) out += '\t';
  }
  return out;
}

/// "550 5.7.1 text", or lines "550-5.7.1 text". A '%' is doubled there (smfi_setreply).
std::optional<smtp::Reply> parse_reply(std::string_view text) {
  smtp::Reply reply;
  for (auto line : split(text, '\n')) {
    line = trim(line);
    if (line.empty()) continue;
    const auto code = parse_decimal<int>(line.substr(0, 3));
    if (!code || *code < 400 || *code > 599 || (reply.code != 0 && reply.code != *code)) return std::nullopt;
    line.remove_prefix(3);
    if (!line.empty() && line.front() != ' ' && line.front() != '-') return std::nullopt;
    if (!line.empty()) line.remove_prefix(1);
    if (reply.code == 0) {
      reply.code = *code;
    } else {
      reply.text += '\n';
      // The enhanced code is the whole reply's: it stands in the first line only.
      if (const auto enhanced = reply.enhanced(); enhanced && line.starts_with(*enhanced))
        line = trim(line.substr(enhanced->size()));
    }
    reply.text += replace_all(line, "%%", "%");
  }
  if (reply.code == 0) return std::nullopt;
  if (!reply.enhanced()) reply.text.insert(0, reply.code < 500 ? "4.7.1 " : "5.7.1 ");
  return reply;
}

}  // namespace

// Commands

void Session::start() {
  std::string data;
  append_number(data, kVersion);
  append_number(data, kAllActions);
  append_number(data, kOfferedSteps);
  command(Command::negotiate, data, 0, 0);
}

void Session::command(Command what, std::string_view data, std::uint32_t skip, std::uint32_t no_reply) {
  if (broken_) return events_.push_back(Broken{"the filter is gone"});
  if ((steps_ & skip) != 0) return answer({});
  append_packet(out_, static_cast<char>(what), data);
  if ((steps_ & no_reply) != 0) return answer({});
  awaited_ = what;
}

void Session::send_macros(Stage stage, Command before, const Macros& macros) {
  if (broken_) return;
  const auto& asked = wanted_macros_[static_cast<std::size_t>(stage)];
  std::string data(1, static_cast<char>(before));
  for (const auto name : split_words(asked.empty() ? kUsualMacros[static_cast<std::size_t>(stage)] : asked)) {
    const auto found = std::ranges::find(macros, name, &Macros::value_type::first);
    if (found == macros.end() || found->second.empty()) continue;
    append_text(data, name);
    append_text(data, found->second);
  }
  if (data.size() > 1) append_packet(out_, static_cast<char>(Command::macros), data);
}

void Session::connect(std::string_view name, const std::optional<IpAddress>& address, std::uint16_t port,
                      const Macros& macros) {
  std::string data;
  append_text(data, name);
  data += !address ? 'L' : address->is_v4() ? '4' : '6';
  data += static_cast<char>(port >> 8);
  data += static_cast<char>(port & 0xff);
  append_text(data, address ? address->to_string() : "unix");
  if ((steps_ & kNoConnect) == 0) send_macros(Stage::connect, Command::connect, macros);
  command(Command::connect, data, kNoConnect, kNoReplyConnect);
}

void Session::helo(std::string_view name, const Macros& macros) {
  std::string data;
  append_text(data, name);
  if ((steps_ & kNoHelo) == 0) send_macros(Stage::helo, Command::helo, macros);
  command(Command::helo, data, kNoHelo, kNoReplyHelo);
}

void Session::mail(std::string_view path, const std::vector<std::string>& parameters, const Macros& macros) {
  if ((steps_ & kNoMail) == 0) send_macros(Stage::mail, Command::mail, macros);
  command(Command::mail, joined(path, parameters), kNoMail, kNoReplyMail);
}

void Session::recipient(std::string_view path, const std::vector<std::string>& parameters, const Macros& macros) {
  if ((steps_ & kNoRecipient) == 0) send_macros(Stage::recipient, Command::recipient, macros);
  command(Command::recipient, joined(path, parameters), kNoRecipient, kNoReplyRecipient);
}

void Session::data(const Macros& macros) {
  if (version_ < 4) return answer({});  // older filters know no such command
  if ((steps_ & kNoData) == 0) send_macros(Stage::data, Command::data, macros);
  command(Command::data, {}, kNoData, kNoReplyData);
}

void Session::header(std::string_view name, std::string_view value) {
  if ((steps_ & kLeadingSpace) == 0 && !value.empty() && is_space(static_cast<unsigned char>(value.front())))
    value.remove_prefix(1);
  std::string data;
  append_text(data, name);
  append_text(data, with_newlines(value));
  command(Command::header, data, kNoHeaders, kNoReplyHeader);
}

void Session::end_of_header(const Macros& macros) {
  if ((steps_ & kNoEndOfHeader) == 0) send_macros(Stage::end_of_header, Command::end_of_header, macros);
  command(Command::end_of_header, {}, kNoEndOfHeader, kNoReplyEndOfHeader);
}

void Session::body(std::string_view octets) {
  command(Command::body, octets.substr(0, kChunkOctets), kNoBody, kNoReplyBody);
}

void Session::end_of_message(const Macros& macros) {
  send_macros(Stage::end_of_message, Command::end_of_message, macros);
  command(Command::end_of_message, {}, 0, 0);
}

void Session::abort() {
  if (!broken_) append_packet(out_, static_cast<char>(Command::abort), {});
}

void Session::quit() {
  if (!broken_) append_packet(out_, static_cast<char>(Command::quit), {});
}

// What comes back

void Session::answer(Verdict verdict) {
  awaited_.reset();
  events_.push_back(Answered{std::move(verdict)});
}

void Session::broken(std::string why) {
  if (broken_) return;
  broken_ = true;
  awaited_.reset();
  events_.push_back(Broken{std::move(why)});
}

void Session::receive(std::string_view octets) {
  if (broken_) return;
  reader_.receive(octets);
  for (;;) {
    auto packet = reader_.next();
    if (!packet) return broken(packet.error().text);
    if (!*packet) return;
    on_packet(**packet);
    if (broken_) return;
  }
}

std::optional<Event> Session::next() {
  if (!out_.empty()) {
    sent_.swap(out_);
    out_.clear();
    return SendOctets{sent_};
  }
  if (events_.empty()) return std::nullopt;
  auto event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void Session::on_packet(const Packet& packet) {
  if (packet.what == 'p') return events_.push_back(Progress{});
  if (!awaited_)
    return broken(concat({"the filter says '", printable(std::string_view(&packet.what, 1)), "' unasked"}));
  if (*awaited_ == Command::negotiate) {
    if (packet.what != 'O') return broken("the filter does not negotiate");
    return on_negotiated(packet.data);
  }
  if (on_verdict(packet) || on_change(packet)) return;
  if (!broken_) broken(concat({"the filter says '", printable(std::string_view(&packet.what, 1)), "' out of place"}));
}

void Session::on_negotiated(std::string_view data) {
  const auto version = take_number(data);
  const auto actions = take_number(data);
  const auto steps = take_number(data);
  if (!version || !actions || !steps) return broken("the filter's answer to the negotiation is cut short");
  if (*version < kLeastVersion || *version > kVersion)
    return broken(concat({"the filter wants version ", decimal(*version)}));
  if ((*actions & ~kAllActions) != 0 || (*steps & ~kOfferedSteps) != 0)
    return broken("the filter wants what is not offered");
  version_ = *version;
  actions_ = *actions;
  while (!data.empty()) {
    const auto stage = take_number(data);
    const auto names = stage ? take_text(data) : std::nullopt;
    if (!names || *stage >= kStages) return broken("the filter's list of macros is malformed");
    // Names may come with commas between them, as libmilter's manual has it.
    wanted_macros_[*stage] = replace_all(*names, ",", " ");
  }
  answer({});
  steps_ = *steps;
}

bool Session::on_verdict(const Packet& packet) {
  using Kind = Verdict::Kind;
  switch (packet.what) {
    case 'c':
      return answer({}), true;
    case 'a':
      return answer({Kind::accept, {}}), true;
    case 'd':
      return answer({Kind::discard, {}}), true;
    case 'r':
      return answer({Kind::refuse, {550, "5.7.1 Refused by a mail filter"}}), true;
    case 't':
      return answer({Kind::refuse, {451, "4.7.1 Not now, says a mail filter: try later"}}), true;
    case '4':
    case 'f':
      return answer({Kind::refuse, {421, "4.3.2 Not now, says a mail filter: try later"}}), true;
    case 's':
      if (*awaited_ != Command::body) return false;
      return answer({Kind::skip, {}}), true;
    case 'y': {
      auto data = packet.data;
      auto reply = parse_reply(take_text(data).value_or(packet.data));
      if (!reply) return broken("the filter's reply has no code of 4xx or 5xx"), true;
      return answer({Kind::refuse, std::move(*reply)}), true;
    }
    default:
      return false;
  }
}

std::optional<Change> Session::parse_change(const Packet& packet) const {
  auto data = packet.data;
  const bool spaced = (steps_ & kLeadingSpace) != 0;
  const auto index = packet.what == 'i' || packet.what == 'm' ? take_number(data) : 0;
  if (!index) return std::nullopt;
  if (packet.what == 'b') return ReplaceBody{std::string(data)};
  const auto first = take_text(data);
  if (!first) return std::nullopt;
  const auto second = take_text(data).value_or(std::string_view());
  switch (packet.what) {
    case 'h':
      return AddHeader{std::string(*first), as_folded(second), spaced};
    case 'i':
      return InsertHeader{*index, std::string(*first), as_folded(second), spaced};
    case 'm':
      return ChangeHeader{std::max<std::uint32_t>(*index, 1), std::string(*first), as_folded(second), spaced};
    case '+':
    case '2':
      return AddRecipient{std::string(*first), std::string(second)};
    case '-':
      return DeleteRecipient{std::string(*first)};
    case 'e':
      return ChangeFrom{std::string(*first), std::string(second)};
    default:
      return Quarantine{std::string(*first)};
  }
}

bool Session::on_change(const Packet& packet) {
  static constexpr std::array<std::pair<char, std::uint32_t>, 9> kNeeded{{{'h', kAddHeaders},
                                                                          {'i', kAddHeaders | kChangeHeaders},
                                                                          {'m', kChangeHeaders},
                                                                          {'b', kChangeBody},
                                                                          {'+', kAddRecipients},
                                                                          {'2', kAddRecipientsWithParameters},
                                                                          {'-', kDeleteRecipients},
                                                                          {'e', kChangeFrom},
                                                                          {'q', kQuarantine}}};
  const auto needed = std::ranges::find(kNeeded, packet.what, &std::pair<char, std::uint32_t>::first);
  if (needed == kNeeded.end() || *awaited_ != Command::end_of_message) return false;
  if ((actions_ & needed->second) == 0) return broken("the filter makes a change that it did not ask for"), true;
  auto change = parse_change(packet);
  if (!change) return broken("a change by the filter is cut short"), true;
  const bool named = std::visit(
      [](const auto& what) {
        if constexpr (requires { what.name; }) return message::is_field_name(what.name);
        return true;
      },
      *change);
  if (!named) return broken("the filter adds a header field whose name is none"), true;
  events_.push_back(Changed{std::move(*change)});
  return true;
}

}  // namespace mail::milter
