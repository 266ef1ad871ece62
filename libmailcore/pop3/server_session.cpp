#include "pop3/server_session.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "pop3/commands.h"
#include "pop3/surrogate.h"

namespace mail::pop3 {
namespace {

/// Listings are made in pieces of this size: a maildrop of a million messages costs no more than this.
constexpr std::size_t kListingOctets = 32768;
/// A header longer than this is sent without looking for 8-bit text in it: memory stays bounded.
constexpr std::size_t kSurrogateHeaderOctets = 262144;

struct RefusalReply {
  Text text;
  std::string_view code;
};
RefusalReply reply_for(Refusal refusal) {
  switch (refusal) {
    case Refusal::credentials:
      return {Text::wrong_credentials, "AUTH"};
    case Refusal::too_soon:
      return {Text::too_soon, "LOGIN-DELAY"};
    case Refusal::in_use:
      return {Text::in_use, "IN-USE"};
    case Refusal::temporary:
      return {Text::temporary, "SYS/TEMP"};
    case Refusal::permanent:
      return {Text::permanent, "SYS/PERM"};
    case Refusal::gone:
      return {Text::gone, ""};
  }
  return {Text::temporary, "SYS/TEMP"};
}

/// Overwrites a secret before it is forgotten; volatile, so that the compiler keeps the writes.
void wipe(std::string& secret) {
  volatile char* octets = secret.data();
  for (std::size_t i = 0; i < secret.size(); ++i) octets[i] = 0;
  secret.clear();
}

/// The end of the header in `octets`: the offset after its empty line, or npos.
std::size_t header_end(std::string_view octets) {
  if (octets.starts_with('\n')) return 1;
  if (octets.starts_with("\r\n")) return 2;
  for (std::size_t at = octets.find('\n'); at != std::string_view::npos; at = octets.find('\n', at + 1)) {
    if (octets.substr(at + 1).starts_with('\n')) return at + 2;
    if (octets.substr(at + 1).starts_with("\r\n")) return at + 3;
  }
  return std::string_view::npos;
}

}  // namespace

ServerSession::ServerSession(Options options) : options_(std::move(options)) {
  std::string greeting(text(language_, Text::ready));
  if (!options_.apop_timestamp.empty()) greeting += concat({" ", options_.apop_timestamp});
  reply(true, greeting);
}

void ServerSession::receive(std::string_view octets) {
  if (state_ == State::closed) return;
  if (consumed_ > 0 && (consumed_ == input_.size() || consumed_ > kInputOctets)) {
    input_.erase(0, consumed_);
    searched_ -= consumed_;
    consumed_ = 0;
  }
  input_ += octets;
}

std::optional<Event> ServerSession::next() {
  forget_sent();
  for (;;) {
    // Replies to pipelined commands go out together, before anything waits for an answer.
    if (output_.size() >= kListingOctets || ((event_ || awaiting_ || state_ == State::closed) && !output_.empty()))
      break;
    if (event_) return std::exchange(event_, std::nullopt);
    if (awaiting_) return std::nullopt;
    if (state_ == State::closed) {
      if (std::exchange(closed_told_, true)) return std::nullopt;
      return Close{};
    }
    if (listing_) {
      list_more();
      continue;
    }
    std::string_view line;
    if (!take_line(line)) break;
    if (in_sasl_) {
      sasl_line(line);
    } else {
      run(line);
    }
  }
  if (output_.empty()) return std::nullopt;
  output_given_ = true;
  return Send{output_};
}

void ServerSession::forget_sent() {
  if (!std::exchange(output_given_, false)) return;
  output_.clear();
}

/// Finds the next line in the input. Lines that are too long are skipped to their end with one reply, and the session
/// goes on.
bool ServerSession::take_line(std::string_view& line) {
  for (;;) {
    const std::size_t limit = in_sasl_ ? kSaslLineOctets : kCommandOctets;
    const auto feed = input_.find('\n', std::max(searched_, consumed_));
    if (feed == std::string::npos) {
      searched_ = input_.size();
      if (input_.size() - consumed_ > limit + 2) {
        skipping_ = true;
        consumed_ = input_.size();
      }
      if (consumed_ == input_.size()) {
        input_.clear();
        consumed_ = searched_ = 0;
      }
      return false;
    }
    const bool too_long = std::exchange(skipping_, false);
    line = std::string_view(input_).substr(consumed_, feed - consumed_);
    consumed_ = searched_ = feed + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!too_long && line.size() <= limit) return true;
    if (std::exchange(in_sasl_, false)) event_ = SaslCancelled{};
    error(Text::too_long);
    if (event_ || state_ == State::closed) return false;
  }
}

void ServerSession::run(std::string_view line) {
  const auto [keyword, rest] = split_once(line, ' ');
  const Command* command = find_command(keyword);
  if (line.find('\0') != std::string_view::npos) return error(Text::bad_octets);
  if (command == nullptr) return error(Text::unknown_command);
  const unsigned here = state_ == State::authorization ? kAuthorization : kTransaction;
  if ((command->states & here) == 0) return error(Text::wrong_state);

  Arguments arguments{.words = rest, .index = {}};
  const bool spaced = line.size() > keyword.size();
  // Clients send blanks after a keyword that takes nothing; a text keeps its own, passwords may end in one.
  if (command->grammar != Grammar::text) arguments.words = trim(rest);
  switch (command->grammar) {
    case Grammar::none:
      if (!arguments.words.empty()) return error(Text::bad_arguments);
      break;
    case Grammar::text:
      if (!spaced || rest.empty()) return error(Text::bad_arguments);
      break;
    case Grammar::optional_word:
      if (arguments.words.find(' ') != std::string_view::npos) return error(Text::bad_arguments);
      break;
    case Grammar::optional_words:
      break;
    case Grammar::optional_message:
      if (arguments.words.empty()) break;
      [[fallthrough]];
    case Grammar::message:
    case Grammar::message_and_lines: {
      const auto words = split_words(arguments.words);
      const bool with_lines = command->grammar == Grammar::message_and_lines;
      if (words.size() != (with_lines ? 2U : 1U)) return error(Text::bad_arguments);
      const auto number = parse_decimal<std::uint64_t>(words[0]);
      const auto lines = with_lines ? parse_decimal<std::uint64_t>(words[1]) : std::optional<std::uint64_t>(0);
      const auto digits = [](std::string_view w) {
        return std::ranges::all_of(w, [](char c) { return is_digit(static_cast<unsigned char>(c)); });
      };
      if (!std::ranges::all_of(words, digits)) return error(Text::bad_arguments);
      if (!number || *number == 0 || *number > maildrop_->count() || is_deleted(static_cast<std::size_t>(*number - 1)))
        return error(Text::no_such_message);
      arguments.index = static_cast<std::size_t>(*number - 1);
      arguments.lines = lines.value_or(MessageWriter::kWhole);  // more lines than can be counted: all of them
      break;
    }
  }
  // PASS comes right after USER or not at all (RFC 1939 section 7).
  if (command->keyword != "PASS" && state_ == State::authorization) user_.clear();
  command->run(*this, arguments);
}

void ServerSession::sasl_line(std::string_view line) {
  if (line == "*") {
    in_sasl_ = false;
    event_ = SaslCancelled{};
    return error(Text::cancelled);
  }
  auto response = from_base64(line);
  if (!response) {
    in_sasl_ = false;
    event_ = SaslCancelled{};
    return error(Text::bad_base64);
  }
  wipe(argument_);
  argument_ = std::move(*response);
  await(SaslResponse{argument_});
}

void ServerSession::reply(bool ok, std::string_view words, std::string_view code) {
  output_ += ok ? "+OK" : "-ERR";
  if (!code.empty()) output_ += concat({" [", code, "]"});
  if (!words.empty()) output_ += concat({" ", words});
  output_ += "\r\n";
}

void ServerSession::error(Text which, std::string_view code) {
  reply(false, text(language_, which), code);
  if (++errors_ < options_.errors_before_close || state_ == State::closed) return;
  reply(false, text(language_, Text::too_many_errors));
  close();
}

void ServerSession::await(Event event) {
  event_ = std::move(event);
  awaiting_ = true;
}

void ServerSession::answered() {
  awaiting_ = false;
  event_.reset();
  forget_sent();
}

void ServerSession::tls_started(std::optional<std::vector<std::string>> mechanisms) {
  answered();
  if (mechanisms) options_.tls_mechanisms = std::move(*mechanisms);
  input_.clear();
  consumed_ = searched_ = 0;
  skipping_ = utf8_ = false;
  user_.clear();
  language_ = Language::english;
  options_.tls_active = true;
}

void ServerSession::accept(const Maildrop& maildrop) {
  answered();
  in_sasl_ = false;
  wipe(secret_);
  wipe(argument_);
  if (state_ == State::closed) return;
  maildrop_ = &maildrop;
  state_ = State::transaction;
  errors_ = 0;
  reply_text(Text::logged_in);
}

void ServerSession::refuse(Refusal refusal) {
  answered();
  in_sasl_ = false;
  wipe(secret_);
  wipe(argument_);
  if (state_ == State::closed) return;
  const auto [which, code] = reply_for(refusal);
  // Only guessing counts towards the end of the session: a message that another session removed is nobody's error.
  if (refusal == Refusal::credentials) return error(which, code);
  reply(false, text(language_, which), code);
}

void ServerSession::challenge(std::string_view octets) {
  answered();
  if (state_ == State::closed) return;
  in_sasl_ = true;
  output_ += concat({"+ ", to_base64(octets), "\r\n"});
}

/// The size is that of LIST; a surrogate header (RFC 6858) makes it a near one, as there.
void ServerSession::reply_size() {
  reply(true, concat({decimal(maildrop_->octets(retrieving_)), " ", text(language_, Text::octets)}));
}

void ServerSession::message_begins() {
  forget_sent();
  if (top_lines_ == MessageWriter::kWhole)
    reply_size();
  else
    reply(true, text(language_, Text::top));
  writer_.emplace(top_lines_);
  header_done_ = utf8_;
  held_header_.clear();
}

bool ServerSession::message_octets(std::string_view stored) {
  forget_sent();
  if (header_done_) return writer_->append(stored, output_);
  // Mostly the whole message comes in one piece, and its header is ASCII: nothing is copied.
  if (held_header_.empty()) {
    const auto end = header_end(stored);
    if (end != std::string_view::npos && !needs_surrogate(stored.substr(0, end))) {
      header_done_ = true;
      return writer_->append(stored, output_);
    }
  }
  held_header_ += stored;
  const auto end = header_end(held_header_);
  if (end == std::string_view::npos && held_header_.size() < kSurrogateHeaderOctets) return true;
  header_done_ = true;
  const std::string held = std::exchange(held_header_, {});
  if (end == std::string_view::npos) return writer_->append(held, output_);
  const auto header = std::string_view(held).substr(0, end);
  return writer_->append(needs_surrogate(header) ? surrogate_header(header) : std::string(header), output_) &&
         writer_->append(std::string_view(held).substr(end), output_);
}

void ServerSession::message_ends() {
  forget_sent();
  if (!header_done_)
    writer_->append(needs_surrogate(held_header_) ? surrogate_header(held_header_) : held_header_, output_);
  held_header_.clear();
  writer_->finish(output_);
  writer_.reset();
  awaiting_ = false;
  event_.reset();
}

std::optional<std::string> ServerSession::whole_body(std::string_view stored) {
  constexpr std::size_t kReplyOctets = 128;  // message_whole() puts the reply before it
  const auto end = header_end(stored);
  if (needs_surrogate(stored.substr(0, end))) return std::nullopt;
  std::string body;
  body.reserve(stored.size() + stored.size() / 32 + kReplyOctets);
  MessageWriter writer;
  writer.append(stored, body);
  writer.finish(body);
  return body;
}

void ServerSession::message_whole(std::string body) {
  forget_sent();
  reply_size();
  body.insert(0, output_);
  output_ = std::move(body);
  awaiting_ = false;
  event_.reset();
}

void ServerSession::removed(bool all) {
  answered();
  if (state_ == State::closed) return;
  if (all) {
    reply_text(Text::bye);
  } else {
    reply(false, text(language_, Text::not_all_removed), "SYS/TEMP");
  }
  close();
}

void ServerSession::end(Text reason) {
  if (state_ == State::closed) return;
  // In the middle of a message a reply would be taken for its text.
  const bool in_message = writer_.has_value() || listing_.has_value();
  answered();
  listing_.reset();
  if (!in_message) reply(false, text(language_, reason), "SYS/TEMP");
  close();
}

void ServerSession::list_more() {
  const std::size_t count = maildrop_->count();
  std::size_t& index = listing_->next;
  for (; index < count && output_.size() < kListingOctets; ++index) {
    if (is_deleted(index)) continue;
    append_decimal(output_, index + 1);
    output_ += ' ';
    if (listing_->unique_ids) {
      output_ += maildrop_->unique_id(index);
    } else {
      append_decimal(output_, maildrop_->octets(index));
    }
    output_ += "\r\n";
  }
  if (index < count) return;
  output_ += ".\r\n";
  listing_.reset();
}

}  // namespace mail::pop3
