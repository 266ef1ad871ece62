// What was recoded once needs it no more, and its bodies are 7-bit.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "message/recode.h"
#include "message/tree.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)recoded(text, Passage::eight_bit);
  const auto once = recoded(text, Passage::seven_bit);
  if (!once) return 0;
  const auto tree = parse(*once);
  const auto body = tree.body(tree.root());
  if (tree.root().kind == Part::Kind::leaf &&
      std::ranges::any_of(body, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    std::abort();
  return 0;
}
