#include "message/line_ends.h"

#include <catch2/catch.hpp>
#include <random>

namespace mail::message {
namespace {

/// Octet by octet, as the header says it.
std::string plainly(std::string_view text, char last, bool dots) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' && last != '\r') out += '\r';
    if (c == '.' && dots && last == '\n') out += '.';
    out += c;
    last = c;
  }
  return out;
}

}  // namespace

TEST_CASE("line ends: what is done by blocks is what is done octet by octet, however it is cut") {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    // Long runs without line ends among crowds of them.
    std::string text;
    const auto octets = random() % (round % 50 == 0 ? 20000 : 200);
    const auto rare = 1 + random() % 30;
    while (text.size() < octets) text += random() % rare == 0 ? "\r\n."[random() % 3] : 'a';
    const auto cut = text.empty() ? 0 : random() % text.size();
    const auto first = std::string_view(text).substr(0, cut), second = std::string_view(text).substr(cut);
    const char before = "\n\r x"[random() % 4];
    const char between = first.empty() ? before : first.back();
    std::string crlf = "kept", dotted = "kept";
    append_crlf(crlf, first, before);
    append_crlf(crlf, second, between);
    append_dotted_crlf(dotted, first, before);
    append_dotted_crlf(dotted, second, between);
    REQUIRE(crlf == "kept" + plainly(text, before, false));
    REQUIRE(dotted == "kept" + plainly(text, before, true));
    REQUIRE(bare_lfs(text, before) == crlf.size() - 4 - text.size());
  }
}

}  // namespace mail::message
