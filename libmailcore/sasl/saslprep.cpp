#include <unicode/usprep.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <vector>

#include "base/strings.h"
#include "sasl/password.h"

namespace mail::sasl {

std::optional<std::string> saslprep(std::string_view text) {
  // ASCII is kept as it is, but for control characters (RFC 4013 section 2.3).
  if (is_ascii(text)) {
    const bool clean = std::ranges::all_of(text, [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
    return clean ? std::optional(std::string(text)) : std::nullopt;
  }
  if (!is_utf8(text)) return std::nullopt;
  UErrorCode status = U_ZERO_ERROR;
  static UStringPrepProfile* const kProfile = usprep_openByType(USPREP_RFC4013_SASLPREP, &status);
  if (kProfile == nullptr) return std::nullopt;
  status = U_ZERO_ERROR;
  std::vector<UChar> wide(text.size() + 1);
  std::int32_t length = 0;
  u_strFromUTF8(wide.data(), static_cast<std::int32_t>(wide.size()), &length, text.data(),
                static_cast<std::int32_t>(text.size()), &status);
  if (U_FAILURE(status)) return std::nullopt;
  // NFKC makes one character into 18 at most (U+FDFA).
  std::vector<UChar> prepared(static_cast<std::size_t>(length) * 18 + 1);
  const auto count = usprep_prepare(kProfile, wide.data(), length, prepared.data(),
                                    static_cast<std::int32_t>(prepared.size()), USPREP_DEFAULT, nullptr, &status);
  std::string out(static_cast<std::size_t>(std::max(count, 0)) * 3 + 1, '\0');
  std::int32_t octets = 0;
  if (U_SUCCESS(status))
    u_strToUTF8(out.data(), static_cast<std::int32_t>(out.size()), &octets, prepared.data(), count, &status);
  std::ranges::fill(wide, u'\0');
  std::ranges::fill(prepared, u'\0');
  if (U_FAILURE(status)) return std::nullopt;
  out.resize(static_cast<std::size_t>(octets));
  return out;
}

}  // namespace mail::sasl
