// Decoding gives UTF-8 on one line; what encoding gives is ASCII, has no line that is not folded, and decodes to the
// same.
#include <cstdint>
#include <cstdlib>

#include "base/strings.h"
#include "message/encoded_word.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail;
  using namespace mail::message;
  const auto text = decode_header_text({reinterpret_cast<const char*>(data), size});
  if (!is_utf8(text) || text.find_first_of("\r\n") != std::string::npos) std::abort();
  const auto encoded = encode_unstructured(text, 9);
  if (!is_ascii(encoded)) std::abort();
  for (auto at = encoded.find('\n'); at != std::string::npos; at = encoded.find('\n', at + 1))
    if (at == 0 || encoded[at - 1] != '\r' || at + 1 >= encoded.size() ||
        !is_space(static_cast<unsigned char>(encoded[at + 1])))
      std::abort();
  (void)encode_phrase(text);
  return 0;
}
