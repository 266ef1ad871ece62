// Parameters of any octets; a value that was printed is read back as it was.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "base/strings.h"
#include "message/parameters.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail;
  using namespace mail::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& parameter : decode_parameters(parse_parameterized(text).parameters))
    if (!is_utf8(parameter.value)) std::abort();
  const auto name = safe_file_name(text, "part");
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos)
    std::abort();
  // Encoded words in quotes are decoded, so such a value does not come back.
  if (is_utf8(text) && size < 3000 && text.find("=?") == std::string_view::npos &&
      text.find('\0') == std::string_view::npos)
    if (parameter(concat({"attachment", format_parameter("filename", text)}), "filename") != text) std::abort();
  return 0;
}
