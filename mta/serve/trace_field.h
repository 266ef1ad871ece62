// The Received field (RFC 5321 section 4.4) and what submission adds (RFC 6409 section 8).
#pragma once
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/id.h"

namespace mail::mta {

struct TraceField {
  std::string_view helo;
  std::string_view client_name;     ///< Reverse DNS name, or empty.
  std::string_view client_literal;  ///< "[192.0.2.1]"
  std::string_view host_name;
  std::string_view protocol;   ///< "ESMTPSA"
  std::string_view tls;        ///< "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty.
  std::string_view recipient;  ///< Only where there is one: Bcc recipients stay secret.
};
/// The whole field with CRLF. What the client said is cut down to what cannot break the field.
std::string received_field(const TraceField& field, const MessageId& id, WallTime now);
/// The `with` word (RFC 3848, RFC 6531 section 4.3).
std::string protocol_word(bool esmtp, bool tls, bool authenticated, bool smtputf8);
/// "Sun, 22 Nov 2026 03:04:05 +0000"; of the last second it is remembered per thread.
const std::string& date_text(WallTime now);

}  // namespace mail::mta
