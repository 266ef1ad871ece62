// Whether a text is part of another one, by the C library's search: several times as fast as std::string_view's.
#pragma once
#include <cstring>
#include <string_view>

namespace mail {

inline bool contains(std::string_view text, std::string_view needle) {
  return needle.empty() ||
         (text.size() >= needle.size() && ::memmem(text.data(), text.size(), needle.data(), needle.size()) != nullptr);
}

}  // namespace mail
