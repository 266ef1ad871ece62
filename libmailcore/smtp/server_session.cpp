#include "smtp/server_session.h"

#include <algorithm>

#include "base/strings.h"
#include "smtp/server_commands.h"

namespace mail::smtp {

ServerSession::ServerSession(const ServerSettings& settings, bool tls) : settings_(&settings) { facts_.tls = tls; }

void ServerSession::greet(std::optional<Reply> refusal) {
  if (state_ != State::greeting) return;
  if (refusal) {
    queue(*refusal);
    state_ = State::refused;
    if (refusal->code == 421) close("refused");
    return;
  }
  state_ = State::command;
  const bool lmtp = settings_->mode == Mode::lmtp;
  queue({220,
         concat({settings_->host_name, " ", lmtp ? std::string_view("LMTP") : std::string_view(settings_->banner)})});
}

// Unread octets

std::string_view ServerSession::input() const {
  return held_.empty() ? view_ : std::string_view(held_).substr(held_used_);
}

void ServerSession::consume(std::size_t octets) {
  if (held_.empty())
    view_.remove_prefix(octets);
  else
    held_used_ += octets;
}

void ServerSession::keep_input() {
  if (held_.empty()) {
    held_.assign(view_);
    view_ = {};
    return;
  }
  if (held_used_ == held_.size()) {
    held_.clear();
    // An idle session keeps no buffer.
    if (held_.capacity() > 256) held_.shrink_to_fit();
    held_used_ = 0;
  } else if (held_used_ > held_.size() / 2) {
    held_.erase(0, held_used_);
    held_used_ = 0;
  }
}

void ServerSession::receive(std::string_view octets) {
  if (state_ == State::closed) return;
  if (held_used_ == held_.size()) {
    held_.clear();
    held_used_ = 0;
    view_ = octets;
  } else {
    held_.append(octets);
  }
}

// Replies

void ServerSession::queue(const Reply& reply) {
  append_wire(queued_, reply);
  queued_code_ = reply.code;
  if (reply.code == 421 && then_ != Then::close) close("refused");
  if (!reply.permanent() || settings_->mode == Mode::lmtp || then_ == Then::close) return;
  if (++mistakes_ < settings_->mistakes) return;
  append_wire(queued_, {421, "4.7.0 Too many mistakes"});
  queued_code_ = 421;
  close("mistakes");
}

void ServerSession::close(std::string_view why) {
  then_ = Then::close;
  if (why_closed_.empty()) why_closed_ = why;
}

void ServerSession::end_transaction() {
  if (message_begun_) {
    message_begun_ = false;
    abandon_due_ = true;
    why_abandoned_ = "reset";
  }
  if (have_sender_) reset_due_ = true;
  have_sender_ = smtputf8_ = binary_ = tried_recipient_ = chunking_ = last_chunk_ = swallow_ = false;
  accepted_recipients_ = 0;
  message_octets_ = 0;
  verdict_ = {};
}

/// What is owed before more input is looked at.
std::optional<Event> ServerSession::due() {
  if (abandon_due_) {
    abandon_due_ = false;
    return AbandonMessage{why_abandoned_};
  }
  if (reset_due_) {
    reset_due_ = false;
    return ResetTransaction{};
  }
  if (deferred_) return *std::exchange(deferred_, std::nullopt);
  if (!queued_.empty()) {
    wire_.swap(queued_);
    queued_.clear();
    return SendReply{queued_code_, wire_};
  }
  if (then_ == Then::close) {
    then_ = Then::nothing;
    state_ = State::closed;
    pending_ = Pending::none;
    view_ = {};
    held_.clear();
    held_used_ = 0;
    return Close{why_closed_};
  }
  if (then_ == Then::begin_tls) {
    then_ = Then::nothing;
    pending_ = Pending::tls;
    return BeginTls{};
  }
  return std::nullopt;
}

std::optional<Event> ServerSession::take_input() {
  switch (state_) {
    case State::command:
    case State::refused:
      return take_command();
    case State::auth:
      return take_auth_line();
    case State::data:
    case State::chunk:
      return take_body();
    case State::greeting:
    case State::closed:
      break;
  }
  return std::nullopt;
}

std::optional<Event> ServerSession::next() {
  for (;;) {
    if (auto event = due()) return event;
    if (pending_ != Pending::none || state_ == State::greeting || state_ == State::closed) break;
    if (!shut_down_.empty()) {
      end_transaction();
      queue({421, std::exchange(shut_down_, {})});
      why_closed_ = "shutdown";
      continue;
    }
    const auto before = input().size();
    const auto state = state_;
    auto event = take_input();
    if (event) return event;
    const bool idle = input().size() == before && state_ == state && pending_ == Pending::none && queued_.empty() &&
                      then_ == Then::nothing && !abandon_due_ && !reset_due_;
    if (idle) break;
  }
  keep_input();
  return std::nullopt;
}

// Lines

ServerSession::Line ServerSession::take_line(std::size_t most) {
  const auto in = input();
  const auto end = in.find('\n');
  if (end == std::string_view::npos) {
    if (!skipping_line_ && in.size() < most) return Line::none;
    skipping_line_ = true;
    consume(in.size());
    return Line::none;
  }
  const bool too_long = std::exchange(skipping_line_, false) || end + 1 > most;
  line_ = too_long ? std::string() : std::string(in.substr(0, end));
  consume(end + 1);
  return too_long ? Line::too_long : Line::whole;
}

std::optional<Event> ServerSession::take_command() {
  switch (take_line(settings_->command_octets)) {
    case Line::none:
      return std::nullopt;
    case Line::too_long:
      queue({500, "5.5.2 The line is too long"});
      return due();
    case Line::whole:
      break;
  }
  if (line_.ends_with('\r')) {
    line_.pop_back();
  } else if (!settings_->lenient) {
    queue({500, "5.5.2 A line ends with CR LF"});
    return due();
  }
  if (settings_->lenient) line_.erase(0, std::min(line_.find_first_not_of(" \t"), line_.size()));
  return ServerCommands::dispatch(*this, line_);
}

std::optional<Event> ServerSession::take_auth_line() {
  const auto taken = take_line(settings_->auth_octets);
  if (taken == Line::none) return std::nullopt;
  state_ = State::command;
  if (line_.ends_with('\r')) line_.pop_back();
  if (taken == Line::whole) {
    if (auto decoded = from_base64(line_); decoded && line_ != "*") {
      line_ = *std::move(decoded);
      pending_ = Pending::auth;
      return AuthResponse{line_};
    }
  }
  // RFC 4954 section 4.
  if (taken == Line::too_long)
    queue({500, "5.5.6 The response is too long"});
  else
    queue(line_ == "*" ? Reply{501, "5.7.0 Authentication cancelled"} : Reply{501, "5.5.2 The response is not base64"});
  return AuthCancelled{};
}

// The message

void ServerSession::begin_body() {
  message_octets_ = 0;
  verdict_ = {};
  decoder_.begin(settings_->bare_newlines == BareNewlines::normalise, settings_->text_line_octets, !chunking_);
}

void ServerSession::abandon(std::string_view why, Reply verdict) {
  if (verdict_.code != 0) return;
  verdict_ = std::move(verdict);
  if (!message_begun_) return;
  message_begun_ = false;
  abandon_due_ = true;
  why_abandoned_ = why;
}

std::optional<Event> ServerSession::body_octets(std::string_view piece) {
  if (piece.empty() || verdict_.code != 0) return due();
  if (settings_->message_octets != 0 && message_octets_ + piece.size() > settings_->message_octets) {
    piece = piece.substr(0, settings_->message_octets - message_octets_);
    abandon("size", {552, "5.3.4 Message is too big"});
    if (piece.empty()) return due();
  }
  message_octets_ += piece.size();
  return BodyOctets{piece};
}

std::optional<Event> ServerSession::on_step(const DataDecoder::Step& step) {
  switch (step.found) {
    case DataDecoder::Found::octets:
      return body_octets(step.piece);
    case DataDecoder::Found::bare:
      abandon("bare newline", {550, "5.6.11 A bare CR, LF or NUL in the message"});
      return due();
    case DataDecoder::Found::long_line:
      abandon("long line", {550, "5.6.0 A line of the message is too long"});
      return due();
    case DataDecoder::Found::end:
      state_ = State::command;
      return end_of_body();
    case DataDecoder::Found::more:
      break;
  }
  return std::nullopt;
}

/// One step of the decoder over `in`, the front of input(), that says something or uses all of it.
DataDecoder::Step ServerSession::decode(std::string_view in) {
  const auto all = in.size();
  auto step = decoder_.step(in);
  // Of a refused message only the end matters.
  while (!in.empty() && step.found != DataDecoder::Found::end &&
         (step.found == DataDecoder::Found::more || verdict_.code != 0))
    step = decoder_.step(in);
  consume(all - in.size());
  return step;
}

std::optional<Event> ServerSession::take_body() {
  if (state_ == State::data) {
    return on_step(decode(input()));
  }
  if (chunk_left_ == 0) {
    if (swallow_answered_) {
      state_ = State::command;
      swallow_answered_ = swallow_ = false;
      return std::nullopt;
    }
    if (last_chunk_ && verdict_.code == 0 && !binary_) {
      const auto step = decoder_.finish();
      if (step.found != DataDecoder::Found::more) return on_step(step);
    }
    state_ = State::command;
    if (last_chunk_) return end_of_body();
    queue(verdict_.code != 0 ? verdict_ : Reply{250, concat({"2.0.0 ", decimal(chunk_octets_), " octets received"})});
    return due();
  }
  auto in = input();
  in = in.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), chunk_left_)));
  if (in.empty()) return std::nullopt;
  if (swallow_ || verdict_.code != 0 || binary_) {
    chunk_left_ -= in.size();
    consume(in.size());
    return swallow_ ? std::nullopt : body_octets(in);
  }
  const auto before = input().size();
  const auto step = decode(in);
  chunk_left_ -= before - input().size();
  return on_step(step);
}

std::optional<Event> ServerSession::end_of_body() {
  if (verdict_.code != 0) {
    answer_message(Reply(verdict_));
    return due();
  }
  pending_ = Pending::end_of_message;
  return EndOfMessage{message_octets_};
}

// Answers

void ServerSession::answer_message(const Reply& reply) {
  // RFC 2033 section 4.2: one reply per recipient that was accepted.
  const auto times = settings_->mode == Mode::lmtp ? std::max<std::uint32_t>(accepted_recipients_, 1) : 1;
  message_begun_ = false;
  ++transactions_;
  if (reply.positive()) mistakes_ = 0;
  end_transaction();
  for (std::uint32_t i = 0; i < times; ++i) queue(reply);
}

void ServerSession::answer_each(std::vector<Reply> replies) {
  if (pending_ != Pending::end_of_message) return;
  pending_ = Pending::none;
  message_begun_ = false;
  ++transactions_;
  end_transaction();
  for (const auto& reply : replies) queue(reply);
}

void ServerSession::answer_hello(Reply reply) {
  if (!reply.positive()) return queue(reply);
  greeted_ = true;
  facts_.esmtp = extended_hello_;
  if (!extended_hello_) return queue({250, settings_->host_name});
  queue({250, ehlo_text(*settings_, facts_, settings_->host_name)});
}

void ServerSession::answer(Reply reply) {
  const auto pending = std::exchange(pending_, Pending::none);
  switch (pending) {
    case Pending::none:
      return;
    case Pending::hello:
      return answer_hello(std::move(reply));
    case Pending::sender:
      have_sender_ = reply.positive();
      break;
    case Pending::recipient:
      tried_recipient_ = true;
      if (reply.positive()) ++accepted_recipients_;
      break;
    case Pending::data:
      if (reply.positive()) reply = {354, "End the message with a dot on a line of its own"};
      if (!reply.intermediate()) break;
      chunking_ = false;
      begin_body();
      message_begun_ = true;
      state_ = State::data;
      break;
    case Pending::chunk:
      chunking_ = true;
      begin_body();
      state_ = State::chunk;
      message_begun_ = reply.positive();
      if (!message_begun_) verdict_ = std::move(reply), swallow_ = true;
      return;
    case Pending::end_of_message:
      return answer_message(reply);
    case Pending::auth:
      return reply.positive() ? auth_succeeded() : queue(reply);
    case Pending::tls:
    case Pending::other:
      break;
  }
  queue(reply);
}

void ServerSession::accept() {
  switch (pending_) {
    case Pending::sender:
      return answer({250, "2.1.0 Sender OK"});
    case Pending::recipient:
      return answer({250, "2.1.5 Recipient OK"});
    default:
      return answer({250, "2.0.0 OK"});
  }
}

void ServerSession::tls_started() {
  held_.clear();
  held_used_ = 0;
  view_ = {};
  const bool first = !facts_.tls;
  end_transaction();
  reset_due_ = false;
  greeted_ = false;
  facts_ = {.tls = true};
  pending_ = Pending::none;
  if (first) skipping_line_ = false;
}

void ServerSession::auth_challenge(std::string_view octets) {
  if (pending_ != Pending::auth) return;
  pending_ = Pending::none;
  state_ = State::auth;
  queued_.append("334 ").append(to_base64(octets)).append("\r\n");
  queued_code_ = 334;
}

void ServerSession::auth_succeeded() {
  pending_ = Pending::none;
  facts_.authenticated = true;
  queue({235, "2.7.0 Authentication successful"});
}

void ServerSession::auth_failed(Reply reply) {
  pending_ = Pending::none;
  queue(reply);
}

void ServerSession::shut_down(std::string_view text) {
  if (state_ == State::closed) return;
  shut_down_ = text;
  if (state_ == State::greeting) {
    state_ = State::command;
  }
}

}  // namespace mail::smtp
