// A date that was understood prints to one that is understood as the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "message/date.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto date = parse_internal_date(text)) {
    if (parse_internal_date(format_internal_date(*date)) != date) std::abort();
  }
  const auto date = parse_date(text);
  const auto year = date ? static_cast<int>(std::chrono::year_month_day(date->local_day()).year()) : 0;
  if (!date || year < 1000 || year > 9998) return 0;
  if (parse_date(format_date(*date)) != date) std::abort();
  return 0;
}
