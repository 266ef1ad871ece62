#include "message/tls_required.h"

#include "base/strings.h"
#include "message/header.h"

namespace mail::message {

bool tls_is_optional(std::string_view text) {
  const auto field = HeaderFields(text).find("TLS-Required");
  return field && iequals(trim(*field), "No");
}

}  // namespace mail::message
