#include "pop3/client_session.h"

#include "base/strings.h"

namespace mail::pop3 {

namespace {
constexpr std::size_t kMostLine = 1U << 20U;  // of a message: some have whole documents on one line
}

void ClientSession::receive(std::string_view octets) {
  if (!broken_) input_ += octets;
}

std::optional<ClientEvent> ClientSession::next() {
  while (events_.empty() && !broken_) {
    const auto end = input_.find('\n', searched_);
    if (end == std::string::npos) {
      // What was taken goes only now, so that a large body is moved once and not once per line.
      input_.erase(0, at_);
      at_ = 0;
      searched_ = input_.size();
      if (input_.size() > kMostLine) broken_ = true, events_.push_back(client::Broken{"a line is too long"});
      break;
    }
    auto line = std::string_view(input_).substr(at_, end - at_);
    at_ = searched_ = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    on_line(line);
  }
  if (events_.empty()) return std::nullopt;
  auto event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void ClientSession::on_line(std::string_view line) {
  if (in_body_) {
    if (line == ".") {
      in_body_ = false;
      events_.push_back(std::move(reply_));
      reply_ = {};
      return;
    }
    if (line.starts_with('.')) line.remove_prefix(1);
    reply_.body += line;
    reply_.body += "\r\n";
    if (reply_.body.size() > most_body_) broken_ = true, events_.push_back(client::Broken{"a message is too large"});
    return;
  }
  if (line == "+" || line.starts_with("+ ")) {
    events_.push_back(client::Continuation{std::string(line.size() > 2 ? line.substr(2) : std::string_view())});
    return;
  }
  const bool ok = istarts_with(line, "+OK");
  if (!ok && !istarts_with(line, "-ERR")) {
    broken_ = true;
    events_.push_back(client::Broken{"this is no POP3 server"});
    return;
  }
  reply_ = {ok, std::string(trim(line.substr(ok ? 3 : 4))), {}};
  if (!greeted_) {
    greeted_ = true;
    const auto open = line.find('<'), close = line.find('>', open == std::string_view::npos ? 0 : open);
    if (open != std::string_view::npos && close != std::string_view::npos)
      timestamp_ = line.substr(open, close - open + 1);
  } else if (ok && multi_line_) {
    in_body_ = true;
    return;
  }
  events_.push_back(std::move(reply_));
  reply_ = {};
}

void ClientSession::command(std::string_view line, bool multi_line) {
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
    events_.push_back(client::Broken{"a command would hold a line end"});
    return;
  }
  multi_line_ = multi_line;
  events_.push_back(client::SendOctets{concat({line, "\r\n"})});
}

void ClientSession::respond(std::string_view line) { events_.push_back(client::SendOctets{concat({line, "\r\n"})}); }

void ClientSession::tls_started() {
  input_.clear();
  at_ = searched_ = 0;
  events_.clear();
}

}  // namespace mail::pop3
