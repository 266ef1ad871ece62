#include "mta/serve/header_gate.h"

#include <algorithm>

namespace mail::mta {

void HeaderGate::begin(std::size_t most_octets) {
  header_.clear();
  most_octets_ = most_octets;
  whole_ = too_large_ = false;
}

std::string_view HeaderGate::feed(std::string_view piece) {
  if (whole_) return piece;
  constexpr std::string_view kEnd = "\r\n\r\n";
  const auto before = header_.size();
  // The end may begin in what was taken before; a message may begin with the empty line.
  const auto look_from = before - std::min<std::size_t>(before, kEnd.size() - 1);
  const auto room = most_octets_ - std::min(most_octets_, before);
  header_.append(piece.substr(0, room));
  std::size_t end = header_.starts_with("\r\n") ? 2 : std::string::npos;
  if (end == std::string::npos) {
    if (const auto found = header_.find(kEnd, look_from); found != std::string::npos) end = found + kEnd.size();
  }
  if (end != std::string::npos) {
    whole_ = true;
    header_.resize(end);
    return piece.substr(end - before);
  }
  if (piece.size() > room) too_large_ = whole_ = true;
  return {};
}

void HeaderGate::release() {
  header_.clear();
  header_.shrink_to_fit();
}

}  // namespace mail::mta
