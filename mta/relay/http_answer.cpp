#include "mta/relay/http_answer.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/strings.h"

namespace mail::relay {

namespace {
constexpr std::size_t kMostHeaderOctets = 32768;  // of all lines: status, fields, chunk sizes, trailer
}

HttpAnswer::State HttpAnswer::fail(std::string_view why) {
  why_ = why;
  return state_ = State::failed;
}

HttpAnswer::State HttpAnswer::receive(std::string_view octets) {
  while (state_ == State::more && !octets.empty()) {
    if (step_ == Step::length || step_ == Step::chunk || step_ == Step::to_the_end) {
      if (!take_body(octets)) fail("a longer body than is read");
      continue;
    }
    const auto end = octets.find('\n');
    const auto part = octets.substr(0, end);
    header_octets_ += part.size() + 1;
    if (header_octets_ > kMostHeaderOctets) return fail("a longer header than is read");
    line_ += part;
    if (end == std::string_view::npos) return state_;
    octets.remove_prefix(end + 1);
    auto text = std::move(line_);
    line_.clear();
    if (text.ends_with('\r')) text.pop_back();
    if (!line(text) && state_ == State::more) fail("not HTTP/1.1");
  }
  return state_;
}

HttpAnswer::State HttpAnswer::ended() {
  if (state_ != State::more) return state_;
  if (step_ != Step::to_the_end) return fail("cut short");
  return state_ = State::done;
}

bool HttpAnswer::take_body(std::string_view& octets) {
  const auto piece = step_ == Step::to_the_end
                         ? octets
                         : octets.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, octets.size())));
  if (piece.size() > most_ - body_.size()) return false;
  body_ += piece;
  octets.remove_prefix(piece.size());
  if (step_ == Step::to_the_end) return true;
  left_ -= piece.size();
  if (left_ > 0) return true;
  if (step_ == Step::length)
    state_ = State::done;
  else
    step_ = Step::chunk_end;
  return true;
}

bool HttpAnswer::line(std::string_view text) {
  switch (step_) {
    case Step::status:
      return status_line(text);
    case Step::fields:
      return text.empty() ? header_done() : field(text);
    case Step::chunk_size:
      return chunk_size(text);
    case Step::chunk_end:
      step_ = Step::chunk_size;
      return text.empty();
    case Step::trailer:
      if (text.empty()) state_ = State::done;
      return true;
    default:
      return false;
  }
}

/// HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112 section 4).
bool HttpAnswer::status_line(std::string_view text) {
  constexpr std::size_t kCodeAt = 9, kCodeDigits = 3;
  if (!text.starts_with("HTTP/1.") || text.size() < kCodeAt + kCodeDigits || text[kCodeAt - 1] != ' ') return false;
  if (text.size() > kCodeAt + kCodeDigits && text[kCodeAt + kCodeDigits] != ' ') return false;
  const auto code = parse_decimal<int>(text.substr(kCodeAt, kCodeDigits));
  if (!code || *code < 100) return false;
  status_ = *code;
  step_ = Step::fields;
  return true;
}

bool HttpAnswer::field(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto name = text.substr(0, colon);
  const auto value = trim(text.substr(colon + 1));
  if (iequals(name, "Content-Type")) type_ = to_lower(trim(split_once(value, ';').first));
  if (iequals(name, "Transfer-Encoding")) {
    if (!iequals(value, "chunked")) return false;  // we ask for no other
    chunked_ = true;
  }
  if (iequals(name, "Content-Length")) {
    const auto octets = parse_decimal(value);
    if (!octets || (has_length_ && *octets != left_)) return false;
    left_ = *octets;
    has_length_ = true;
  }
  if (iequals(name, "Content-Encoding") && !value.empty() && !iequals(value, "identity")) return false;
  return true;
}

bool HttpAnswer::header_done() {
  if (status_ < 200) {  // an interim answer: the real one follows (RFC 9110 section 15.2)
    status_ = 0;
    left_ = 0;
    has_length_ = chunked_ = false;
    step_ = Step::status;
    return true;
  }
  if (status_ != 200) {  // whatever it says more is of no use to us
    state_ = State::done;
    return true;
  }
  if (chunked_) {  // stands above a length (RFC 9112 section 6.3)
    step_ = Step::chunk_size;
  } else if (has_length_) {
    if (left_ > most_) return fail("a longer body than is read"), false;
    step_ = Step::length;
    if (left_ == 0) state_ = State::done;
  } else {
    step_ = Step::to_the_end;
  }
  return true;
}

bool HttpAnswer::chunk_size(std::string_view text) {
  const auto digits = trim(text.substr(0, text.find(';')));
  std::uint64_t octets = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), octets, 16);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return false;
  if (octets > most_) return fail("a longer body than is read"), false;
  left_ = octets;
  step_ = octets == 0 ? Step::trailer : Step::chunk;
  return true;
}

}  // namespace mail::relay
