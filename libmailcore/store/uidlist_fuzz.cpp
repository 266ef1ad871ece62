#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "store/uidlist.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::store;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_courier_uids(text);
  const auto list = parse_uidlist(text);
  if (!list) return 0;
  std::string again = format_uidlist_header(list->header);
  for (const auto& entry : list->entries) append_uidlist_line(again, entry.uid, entry.extensions, entry.base);
  const auto second = parse_uidlist(again);  // what is written must be read as the same
  if (!second || second->damaged || !(second->header == list->header) || second->entries.size() != list->entries.size())
    std::abort();
  for (std::size_t i = 0; i < second->entries.size(); ++i)
    if (second->entries[i].uid != list->entries[i].uid || second->entries[i].base != list->entries[i].base)
      std::abort();
  return 0;
}
