#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "store/text_file.h"
#include "store/uidlist.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::store;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto keywords = parse_keywords(text);
  if (parse_keywords(format_keywords(keywords)) != keywords) std::abort();
  const auto names = parse_subscriptions(text, '.');
  if (parse_subscriptions(format_subscriptions(names), '.') != names) std::abort();
  const auto properties = parse_properties(text);
  if (parse_properties(format_properties(properties)) != properties) std::abort();
  (void)parse_acl(text);
  (void)parse_maildirsize(text);
  if (tab_unescape(tab_escape(text)) != text) std::abort();
  return 0;
}
