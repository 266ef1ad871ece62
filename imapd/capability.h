// Words that rows of the item tables add to CAPABILITY.
#pragma once
#include <string_view>
#include <vector>

namespace mail::imapd {
/// Of the FETCH items (BINARY, SAVEDATE, PREVIEW …), without repetition.
std::vector<std::string_view> item_capabilities();
}  // namespace mail::imapd
