#include <cstdlib>

#include "mta/relay/http_answer.h"

namespace {
constexpr std::size_t kMost = 1000;
}

/// Whole and octet by octet: the same outcome, and never a longer body than allowed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mail::relay::HttpAnswer;
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  HttpAnswer whole(kMost), pieces(kMost);
  whole.receive(octets);
  for (std::size_t i = 0; i < octets.size(); ++i) pieces.receive(octets.substr(i, 1));
  whole.ended();
  pieces.ended();
  if (whole.state() == HttpAnswer::State::more || whole.body().size() > kMost) std::abort();
  if (whole.state() != pieces.state() || whole.status() != pieces.status() || whole.body() != pieces.body())
    std::abort();
  return 0;
}
