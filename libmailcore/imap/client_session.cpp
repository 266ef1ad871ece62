#include "imap/client_session.h"

#include <algorithm>
#include <array>

#include "base/cursor.h"
#include "base/strings.h"
#include "imap/mutf7.h"

namespace mail::imap {

namespace {

constexpr std::size_t kMostLine =
    8U << 20U;                             // one line of a response; ENVELOPE of a message with many recipients is long
constexpr int kMostDepth = 200;            // of lists: BODYSTRUCTURE nests as deep as the message
constexpr std::size_t kMostQuoted = 1000;  // longer strings go as literals

/// "{123}" or "{123+}" at the end of a line: the octets of the literal that follows.
std::optional<std::uint64_t> literal_at_end(std::string_view line) {
  if (!line.ends_with('}')) return std::nullopt;
  const auto open = line.rfind('{');
  if (open == std::string_view::npos) return std::nullopt;
  auto digits = line.substr(open + 1, line.size() - open - 2);
  if (digits.ends_with('+')) digits.remove_suffix(1);
  return parse_decimal<std::uint64_t>(digits);
}

}  // namespace

bool Value::is(std::string_view word) const { return kind == Kind::atom && iequals(text, word); }
std::optional<std::uint64_t> Value::number() const {
  return kind == Kind::atom ? parse_decimal<std::uint64_t>(text) : std::nullopt;
}

ClientCommand& ClientCommand::text(std::string_view text) {
  if (pieces_.back().literal) pieces_.push_back({});
  pieces_.back().octets += text;
  return *this;
}

ClientCommand& ClientCommand::string(std::string_view text) {
  const bool plain =
      text.size() <= kMostQuoted && std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7F; });
  if (!plain) return literal(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return this->text(quoted + "\"");
}

ClientCommand& ClientCommand::mailbox(std::string_view utf8) { return string(to_mutf7(utf8)); }

ClientCommand& ClientCommand::literal(std::string_view octets) {
  pieces_.push_back({std::string(octets), true});
  return *this;
}

Result<std::vector<Value>> parse_values(std::string_view text) {
  Cursor in(text);
  // The lists that are open; the first is the answer itself. Not recursive: the server chooses the depth.
  std::vector<std::vector<Value>> open(1);
  while (!in.at_end()) {
    if (in.take(' ')) continue;
    if (in.take('(')) {
      if (open.size() > kMostDepth) return fail(Error::Kind::syntax, "a list is too deep");
      open.emplace_back();
    } else if (in.take(')')) {
      if (open.size() == 1) return fail(Error::Kind::syntax, "a parenthesis too many");
      Value list{Value::Kind::list, {}, std::move(open.back())};
      open.pop_back();
      open.back().push_back(std::move(list));
    } else if (in.take('"')) {
      Value string{Value::Kind::string, {}, {}};
      for (;;) {
        string.text += in.take_while([](unsigned char c) { return c != '"' && c != '\\'; });
        if (in.take('"')) break;
        if (!in.take('\\') || in.at_end()) return fail(Error::Kind::syntax, "a string without end");
        string.text += static_cast<char>(in.peek());
        in.skip(1);
      }
      open.back().push_back(std::move(string));
    } else if (in.peek() == '{' || (in.peek() == '~' && in.peek(1) == '{')) {
      in.take('~');
      in.take('{');
      const auto octets = in.take_decimal<std::uint64_t>();
      in.take('+');
      if (!octets || !in.take("}\r\n")) return fail(Error::Kind::syntax, "a broken literal");
      const auto content = in.take_octets(*octets);
      if (!content) return fail(Error::Kind::syntax, "a literal without end");
      open.back().push_back({Value::Kind::string, std::string(*content), {}});
    } else {
      std::string atom;
      for (;;) {
        atom += in.take_while(
            [](unsigned char c) { return c > ' ' && c != '(' && c != ')' && c != '"' && c != '[' && c != '{'; });
        if (in.peek() != '[') break;
        const auto section = in.take_while([](unsigned char c) { return c != ']'; });
        if (!in.take(']')) return fail(Error::Kind::syntax, "a bracket without end");
        atom += section;
        atom += ']';
      }
      if (atom.empty()) {
        if (in.peek() == '{') return fail(Error::Kind::syntax, "a broken literal");
        in.skip(1);  // a control character
        continue;
      }
      const bool nil = iequals(atom, "NIL");
      open.back().push_back({nil ? Value::Kind::nil : Value::Kind::atom, nil ? std::string() : std::move(atom), {}});
    }
  }
  if (open.size() != 1) return fail(Error::Kind::syntax, "a list without end");
  return std::move(open.front());
}

std::optional<StatusText> parse_status(std::string_view text) {
  const auto [word, rest] = split_once(text, ' ');
  StatusText status;
  status.condition = to_upper(word);
  static constexpr std::array<std::string_view, 5> kConditions{"OK", "NO", "BAD", "PREAUTH", "BYE"};
  if (std::ranges::find(kConditions, status.condition) == kConditions.end()) return std::nullopt;
  std::string_view human = rest;
  if (human.starts_with('[')) {
    const auto end = human.find(']');
    if (end != std::string_view::npos) {
      const auto [code, argument] = split_once(human.substr(1, end - 1), ' ');
      status.code = to_upper(code);
      status.code_argument = argument;
      human = trim(human.substr(end + 1));
    }
  }
  status.text = human;
  return status;
}

void ClientSession::broken(std::string why) {
  broken_ = true;
  input_.clear();
  events_.push_back(client::Broken{std::move(why)});
}

void ClientSession::receive(std::string_view octets) {
  if (!broken_) input_ += octets;
}

/// The octets of the first response in input_, literals included; nothing while it is not whole.
std::optional<std::size_t> ClientSession::whole_response() {
  for (;;) {
    const auto end = input_.find('\n', scanned_);
    if (end == std::string::npos) {
      if (input_.size() - std::min(scanned_, input_.size()) > kMostLine) broken("a line is too long");
      return std::nullopt;
    }
    auto line = std::string_view(input_).substr(scanned_, end - scanned_);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto literal = literal_at_end(line);
    if (!literal) {
      scanned_ = 0;
      return end + 1;
    }
    if (*literal > most_literal_) {
      broken("a literal is too large");
      return std::nullopt;
    }
    if (input_.size() - (end + 1) < *literal) return std::nullopt;
    scanned_ = end + 1 + static_cast<std::size_t>(*literal);
  }
}

std::optional<ClientEvent> ClientSession::next() {
  while (events_.empty() && !broken_) {
    const auto octets = whole_response();
    if (!octets) break;
    const auto response = input_.substr(0, *octets);
    input_.erase(0, *octets);
    std::string_view line = response;
    line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
    on_response(line);
  }
  if (events_.empty()) return std::nullopt;
  auto event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void ClientSession::on_response(std::string_view response) {
  if (response.empty()) return;
  if (response == "+" || response.starts_with("+ ")) {
    if (pending_.empty()) {
      events_.push_back(
          client::Continuation{std::string(response.size() > 2 ? response.substr(2) : std::string_view())});
    } else {
      send_pieces();
    }
    return;
  }
  const auto [tag, rest] = split_once(response, ' ');
  if (tag == "*") return on_untagged(rest);
  if (!tag_.empty() && tag == tag_) return on_tagged(rest);
  broken("a response with an unknown tag");
}

void ClientSession::on_tagged(std::string_view rest) {
  const auto status = parse_status(rest);
  if (!status) return broken("a tagged response without status");
  on_status(*status);
  pending_.clear();  // the command was refused before its literal went out
  tag_.clear();
  events_.push_back(client::Completed{*status});
}

void ClientSession::on_status(const StatusText& status) {
  if (status.code != "CAPABILITY") return;
  capabilities_.clear();
  for (const auto word : split_words(status.code_argument)) capabilities_.push_back(to_upper(word));
}

void ClientSession::on_untagged(std::string_view rest) {
  if (const auto status = parse_status(rest)) {
    on_status(*status);
    if (!greeted_) {
      greeted_ = true;
      events_.push_back(client::Greeting{*status});
    } else {
      events_.push_back(client::UntaggedStatus{*status});
    }
    return;
  }
  if (!greeted_) return broken("this is no IMAP server");
  auto values = parse_values(rest);
  if (!values) return broken(values.error().text);
  if (!values->empty() && values->front().is("CAPABILITY")) {
    capabilities_.clear();
    for (const auto& value : *values)
      if (!value.is("CAPABILITY")) capabilities_.push_back(to_upper(value.text));
  }
  events_.push_back(client::Untagged{std::move(*values)});
}

/// Sends up to the next literal that has to wait for the server's "+".
void ClientSession::send_pieces() {
  std::string out;
  bool first = true;
  while (!pending_.empty()) {
    auto& piece = pending_.front();
    if (piece.literal && !first) {
      const bool non_synchronizing = has("LITERAL+") || (has("LITERAL-") && piece.octets.size() <= 4096);
      out += concat({"{", decimal(piece.octets.size()), non_synchronizing ? "+}\r\n" : "}\r\n"});
      if (!non_synchronizing) break;
    }
    out += piece.octets;
    pending_.pop_front();
    first = false;
  }
  if (pending_.empty()) out += "\r\n";
  events_.push_back(client::SendOctets{std::move(out)});
}

void ClientSession::command(const ClientCommand& command) {
  tag_ = "A" + decimal(++number_);
  pending_.assign(command.pieces_.begin(), command.pieces_.end());
  pending_.front().octets.insert(0, tag_ + " ");
  send_pieces();
}

void ClientSession::respond(std::string_view line) { events_.push_back(client::SendOctets{concat({line, "\r\n"})}); }

void ClientSession::tls_started() {
  input_.clear();
  scanned_ = 0;
  events_.clear();
  capabilities_.clear();
}

bool ClientSession::has(std::string_view capability) const {
  return std::ranges::find(capabilities_, to_upper(capability)) != capabilities_.end();
}

}  // namespace mail::imap
