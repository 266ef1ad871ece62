// HTML of a stranger: never longer than the header promises, UTF-8 stays UTF-8, and without scripts or markup on one
// line.
#include "message/html_text.h"

#include <cstdint>
#include <cstdlib>

#include "base/strings.h"
#include "message/charset.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto html = mail::message::repair_utf8({reinterpret_cast<const char*>(data), size});
  for (const bool links : {true, false})
    for (const bool line_breaks : {true, false}) {
      const auto text = mail::message::html_to_text(html, {.links = links, .line_breaks = line_breaks});
      if (!mail::is_utf8(text)) std::abort();
      if (text.size() > html.size() * 6 + 64) std::abort();
      if (!line_breaks && text.find('\n') != std::string::npos) std::abort();
    }
  return 0;
}
