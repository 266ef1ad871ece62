#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/rights.h"
#include "store/shared_list.h"
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
  const auto acl = parse_acl(text);
  for (const std::string_view user : {"ann", "bob"})
    for (const bool owner : {false, true}) {
      const auto rights = rights_of(acl, {user, owner, {}});
      auto told = told_rights(rights);
      // The letters of RFC 2086 stand for two rights each, of which one is enough for them to be told (RFC 4314
      // section 2.1.1).
      std::erase_if(told, [](char letter) { return letter == 'c' || letter == 'd'; });
      if (parse_rights(told) != rights) std::abort();
    }
  const auto shared = parse_shared_list(text);
  if (parse_shared_list(format_shared_list(shared)) != shared) std::abort();
  (void)parse_maildirsize(text);
  if (tab_unescape(tab_escape(text)) != text) std::abort();
  return 0;
}
