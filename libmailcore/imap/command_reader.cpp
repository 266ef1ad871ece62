#include "imap/command_reader.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"
#include "imap/arguments.h"

namespace mail::imap {
namespace {

constexpr std::size_t kMostTag = 256;
/// Above this an empty buffer gives its memory back: ten thousand idle sessions must cost nothing.
constexpr std::size_t kKeptCapacity = 512;

struct LiteralSize {
  std::size_t brace;  ///< Where `{` stands.
  std::uint64_t octets;
  bool synchronizing;
};

/// The literal that the end of a line announces: `{123}`, `{123+}`, `{123-}`.
std::optional<LiteralSize> literal_at_end(std::string_view line) {
  if (!line.ends_with('}')) return std::nullopt;
  const auto brace = line.rfind('{');
  if (brace == std::string_view::npos) return std::nullopt;
  auto inner = line.substr(brace + 1, line.size() - brace - 2);
  const bool plus = inner.ends_with('+') || inner.ends_with('-');
  if (plus) inner.remove_suffix(1);
  if (inner.empty() || !std::ranges::all_of(inner, [](char c) { return is_digit(static_cast<unsigned char>(c)); }))
    return std::nullopt;
  // More digits than 2^64 has is just as much too big.
  return LiteralSize{brace, parse_decimal<std::uint64_t>(inner).value_or(UINT64_MAX), !plus};
}

}  // namespace

void CommandReader::receive(std::string_view octets) {
  // The command that is being executed is read from buffer_: nothing may move it.
  (executing_ && !expects_line_ ? incoming_ : buffer_).append(octets);
}

std::optional<CommandReader::Event> CommandReader::next() {
  if (executing_ && !expects_line_) return std::nullopt;
  for (;;) {
    std::optional<Event> event;
    const auto before = state_;
    switch (state_) {
      case State::line:
        event = next_in_line();
        break;
      case State::literal_asked:
        return std::nullopt;
      case State::literal:
        event = next_in_literal();
        break;
      case State::diverted:
        event = next_diverted();
        break;
      case State::skip_line:
      case State::skip_literal:
        event = next_while_skipping();
        break;
    }
    if (event || state_ == before) return event;
  }
}

std::optional<CommandReader::Event> CommandReader::next_in_line() {
  while (scanned_ < buffer_.size()) {
    const char c = buffer_[scanned_++];
    if (c == '\n') {
      std::size_t end = scanned_ - 1;
      if (end > (executing_ ? command_end_ : 0) && buffer_[end - 1] == '\r') --end;
      return line_ended(end, scanned_);
    }
    if (++line_octets_ > limits_->line_octets) {
      parse_head(buffer_);
      refuse("Command line is too long");
      return std::nullopt;
    }
    if (c == '\0') nul_ = true;
    if (escaped_) {
      escaped_ = false;
    } else if (c == '"') {
      quoted_ = !quoted_;
    } else if (c == '\\' && quoted_) {
      escaped_ = true;
    }
  }
  return std::nullopt;
}

std::optional<CommandReader::Event> CommandReader::line_ended(std::size_t end, std::size_t length) {
  const bool in_quotes = quoted_;
  quoted_ = escaped_ = false;
  if (expects_line_) {
    expects_line_ = false;
    line_octets_ = 0;
    const std::string_view text = std::string_view(buffer_).substr(command_end_, end - command_end_);
    command_end_ = length;
    return Line{text};
  }
  // Inside of quotes `{3}` is text; the string itself is broken, and the command's parser says so.
  if (!in_quotes && end > 0 && buffer_[end - 1] == '}') {
    if (auto literal = literal_at_end(std::string_view(buffer_).substr(0, end))) {
      remaining_ = literal->octets;
      synchronizing_ = literal->synchronizing;
      return announce(literal->brace, length);
    }
  }
  return command(end);
}

std::optional<CommandReader::Event> CommandReader::announce(std::size_t brace, std::size_t end) {
  if (buffer_[end - 2] != '\r') {
    // A bare LF behind the announcement: written as it should have been, since Arguments reads it again.
    buffer_.insert(end - 1, 1, '\r');
    ++scanned_;
  }
  if (arguments_at_ == 0) parse_head(std::string_view(buffer_).substr(0, brace));
  brace_ = brace;
  state_ = State::literal_asked;
  const bool message = takes_messages();
  const auto most =
      message ? limits_->message_octets : limits_->literal_octets - std::min(limits_->literal_octets, literal_octets_);
  if (tag_ == "*" || remaining_ > most) {
    if (tag_ == "*")
      refuse_literal("Invalid command", false);
    else
      refuse_literal(message ? "Message is too big" : "Literal is too big", message);
    return std::nullopt;
  }
  return Literal{tag_, name_, remaining_, synchronizing_};
}

void CommandReader::accept_literal() {
  literal_octets_ += remaining_;
  state_ = State::literal;
}

void CommandReader::divert_literal() {
  // What has come of the literal already stays behind the marker, to be taken from there.
  const std::string marker = "{#" + decimal(diverted_++) + "}\r\n";
  buffer_.replace(brace_, scanned_ - brace_, marker);
  scanned_ = brace_ + marker.size();
  state_ = State::diverted;
}

void CommandReader::refuse_literal(std::string text, bool too_big) {
  const bool fatal = !synchronizing_ && remaining_ > limits_->skip_octets;
  const bool wait = !synchronizing_ && !fatal;
  refuse(std::move(text), too_big, fatal);
  buffer_.erase(0, scanned_);
  scanned_ = 0;
  if (wait) state_ = State::skip_literal;
  // The client of a synchronizing literal sends nothing more of this command: it is over here.
  if (!wait) state_ = State::skip_line, remaining_ = UINT64_MAX;
}

std::optional<CommandReader::Event> CommandReader::next_in_literal() {
  const std::uint64_t there = std::min<std::uint64_t>(remaining_, buffer_.size() - scanned_);
  scanned_ += static_cast<std::size_t>(there);
  remaining_ -= there;
  if (remaining_ > 0) return std::nullopt;
  state_ = State::line;
  return std::nullopt;
}

std::optional<CommandReader::Event> CommandReader::next_diverted() {
  // The octets handed out last time are dropped only now: the event held a view of them.
  if (command_end_ > scanned_) {
    buffer_.erase(scanned_, command_end_ - scanned_);
    command_end_ = 0;
    if (remaining_ == 0) {
      state_ = State::line;
      return std::nullopt;
    }
  }
  const auto there = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, buffer_.size() - scanned_));
  if (there == 0 && remaining_ > 0) return std::nullopt;
  remaining_ -= there;
  command_end_ = scanned_ + there;
  const LiteralOctets event{std::string_view(buffer_).substr(scanned_, there), remaining_ == 0};
  if (there == 0) state_ = State::line, command_end_ = 0;
  return event;
}

void CommandReader::refuse(std::string text, bool too_big, bool fatal) {
  if (!refusal_) refusal_ = Refused{tag_.empty() ? "*" : tag_, std::move(text), too_big, fatal};
  remaining_ = state_ == State::line ? 0 : remaining_;
  state_ = State::skip_line;
}

std::optional<CommandReader::Event> CommandReader::next_while_skipping() {
  if (remaining_ == UINT64_MAX) return refused();
  if (state_ == State::skip_literal) {
    const auto there = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, buffer_.size() - scanned_));
    buffer_.erase(0, scanned_ + there);
    scanned_ = 0;
    remaining_ -= there;
    if (remaining_ == 0) state_ = State::skip_line;
    return std::nullopt;
  }
  const auto end = buffer_.find('\n', scanned_);
  if (end == std::string::npos) {
    // Enough is kept to see whether the line ends in a literal's announcement.
    constexpr std::size_t kTail = 64;
    if (buffer_.size() > kTail) buffer_.erase(0, buffer_.size() - kTail);
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  std::string_view line(buffer_.data(), end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  const auto literal = literal_at_end(line);
  buffer_.erase(0, end + 1);
  scanned_ = 0;
  if (literal && !literal->synchronizing) {
    if (literal->octets > limits_->skip_octets) {
      refusal_->fatal = true;
      return refused();
    }
    remaining_ = literal->octets;
    state_ = State::skip_literal;
    return std::nullopt;
  }
  return refused();
}

CommandReader::Event CommandReader::refused() {
  Event event = std::move(*refusal_);
  refusal_.reset();
  executing_ = expects_line_ = false;
  command_end_ = 0;
  tag_.clear();
  name_.clear();
  arguments_at_ = line_octets_ = 0;
  literal_octets_ = remaining_ = 0;
  diverted_ = 0;
  nul_ = quoted_ = escaped_ = false;
  state_ = State::line;
  return event;
}

void CommandReader::parse_head(std::string_view text) {
  Cursor cursor(text);
  const auto tag = cursor.take_while(is_tag_char);
  tag_ = "*";
  name_.clear();
  if (tag.empty() || tag.size() > kMostTag || !cursor.take(' ')) return;
  tag_ = tag;
  name_ = to_upper(cursor.take_while(is_atom_char));
  if (name_ == "UID" && cursor.take(' ')) {
    name_ += ' ';
    name_ += to_upper(cursor.take_while(is_atom_char));
  }
  cursor.take(' ');
  arguments_at_ = cursor.offset();
}

bool CommandReader::takes_messages() const { return name_ == "APPEND" || name_ == "REPLACE" || name_ == "UID REPLACE"; }

std::optional<CommandReader::Event> CommandReader::command(std::size_t end) {
  if (arguments_at_ == 0) parse_head(std::string_view(buffer_).substr(0, end));
  if (tag_ == "*" || name_.empty() || nul_) {
    Refused event{tag_.empty() ? "*" : tag_,
                  nul_          ? "NUL in a command"
                  : tag_ == "*" ? "Invalid tag"
                                : "Missing command",
                  false, false};
    command_end_ = scanned_;
    executing_ = true;
    finish();
    return event;
  }
  executing_ = true;
  command_end_ = scanned_;
  const std::string_view all(buffer_);
  return Command{tag_, name_,
                 end > arguments_at_ ? all.substr(arguments_at_, end - arguments_at_) : std::string_view{}};
}

void CommandReader::finish() {
  buffer_.erase(0, command_end_);
  buffer_ += incoming_;
  incoming_ = {};
  if (buffer_.empty() && buffer_.capacity() > kKeptCapacity) buffer_ = {};
  scanned_ = command_end_ = line_octets_ = arguments_at_ = 0;
  literal_octets_ = 0;
  diverted_ = 0;
  nul_ = quoted_ = escaped_ = false;
  executing_ = expects_line_ = false;
  state_ = State::line;
  tag_.clear();
  name_.clear();
}

void CommandReader::tls_started() {
  buffer_.clear();
  incoming_.clear();
  command_end_ = 0;
  refusal_.reset();
  finish();
}

}  // namespace mail::imap
