#include "smtp/data_decoder.h"

#include <cstring>

namespace mail::smtp {
namespace {

constexpr std::string_view kCrLf = "\r\n";
constexpr auto kNone = std::string_view::npos;

std::size_t find(std::string_view in, char octet) {
  if (in.empty()) return kNone;
  const void* const at = std::memchr(in.data(), octet, in.size());
  return at == nullptr ? kNone : static_cast<std::size_t>(static_cast<const char*>(at) - in.data());
}

}  // namespace

void DataDecoder::begin(bool normalise, std::size_t most_line_octets, bool dots) {
  *this = {};
  stuffed_ = dots;
  normalise_ = normalise;
  most_line_octets_ = most_line_octets;
}

DataDecoder::Step DataDecoder::step(std::string_view& input) {
  if (input.empty()) return {Found::more};
  if (at_ == At::cr || at_ == At::dot || at_ == At::dot_cr) return step_held(input);
  return step_lines(input);
}

DataDecoder::Step DataDecoder::finish() {
  const At held = at_;
  at_ = At::line_start;
  if (held == At::line_start) return {Found::more};
  if (held == At::cr && !normalise_) return {Found::bare};
  return {Found::octets, kCrLf};
}

// The octets before the input were held back because their meaning hangs on the first octet of the input.
DataDecoder::Step DataDecoder::step_held(std::string_view& input) {
  const At held = at_;
  const char next = input.front();
  if (held == At::dot) {
    // Behind CRLF: "." CR may be the end; any other octet makes the dot stuffing, which is dropped.
    at_ = next == '\r' ? At::dot_cr : At::in_line;
    if (next == '\r') input.remove_prefix(1);
    return {Found::more};
  }
  if (next == '\n') {
    input.remove_prefix(1);
    at_ = At::line_start;
    dots_ = true;
    line_octets_ = 0;
    reported_line_ = false;
    if (held == At::dot_cr) return {Found::end};
    return {Found::octets, kCrLf};
  }
  // A bare CR; what follows is in a line that no CRLF began: its dot is no stuffing and never the end.
  if (normalise_) {
    at_ = At::line_start;
    dots_ = false;
    line_octets_ = 0;
    return {Found::octets, kCrLf};
  }
  at_ = At::in_line;
  return {Found::bare};
}

DataDecoder::Step DataDecoder::step_lines(std::string_view& input) {
  const char* const begin = input.data();
  std::size_t at = 0;  // everything before it is good and not yet given out
  const auto give = [&](std::size_t used) {
    const std::string_view piece(begin, at);
    input.remove_prefix(used);
    return piece.empty() ? Step{Found::more} : Step{Found::octets, piece};
  };
  while (at < input.size()) {
    if (at_ == At::line_start) {
      if (input[at] == '.' && dots_ && stuffed_) {
        at_ = At::dot;
        return give(at + 1);
      }
      at_ = At::in_line;
    }
    const auto rest = input.substr(at);
    const auto cr = find(rest, '\r');
    const auto text = rest.substr(0, cr);
    // Up to the next CR there may be no LF and no NUL.
    auto stop = find(text, '\n');
    if (const auto nul = find(text.substr(0, stop), '\0'); nul != kNone) stop = nul;
    const auto good = stop == kNone ? text.size() : stop;
    if (most_line_octets_ != 0 && !reported_line_ && line_octets_ + good > most_line_octets_) {
      at += most_line_octets_ - line_octets_;
      line_octets_ = most_line_octets_;
      if (at > 0) return give(at);  // up to the limit, however the input was split
      reported_line_ = true;
      return {Found::long_line};
    }
    if (stop != kNone) {
      at += stop;
      line_octets_ += stop;
      if (at > 0) return give(at);  // the next step begins at the offence
      const bool line_feed = input.front() == '\n';
      input.remove_prefix(1);
      if (!normalise_) {
        if (line_feed) at_ = At::line_start, dots_ = false, line_octets_ = 0, reported_line_ = false;
        return {Found::bare};
      }
      if (!line_feed) return {Found::more};
      at_ = At::line_start;
      dots_ = false;
      line_octets_ = 0;
      reported_line_ = false;
      return {Found::octets, kCrLf};
    }
    if (cr == kNone) {
      line_octets_ += rest.size();
      at = input.size();
      break;
    }
    if (at + cr + 1 == input.size() || input[at + cr + 1] != '\n') {
      at += cr;
      line_octets_ += cr;
      at_ = At::cr;
      return give(at + 1);
    }
    at += cr + 2;
    at_ = At::line_start;
    dots_ = true;
    line_octets_ = 0;
    reported_line_ = false;
  }
  return give(at);
}

}  // namespace mail::smtp
