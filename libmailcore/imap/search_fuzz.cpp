#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "imap/search_program.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mail::imap::Arguments arguments({reinterpret_cast<const char*>(data), size});
  const auto search = mail::imap::take_search_arguments(arguments);
  if (!search) return 0;
  const auto text = search->key.print();
  mail::imap::Arguments again{std::string_view(text)};
  const auto key = mail::imap::take_search_keys(again);
  if (!key || !again.at_end() || key->print() != text) std::abort();
  return 0;
}
