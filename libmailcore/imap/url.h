// IMAP URLs that name a message or a part of one (RFC 5092): CATENATE (4469), URLAUTH (4467) and PARTIAL within them
// (5550).
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "imap/section.h"

namespace mail::imap {

inline constexpr std::size_t kMostUrlOctets = 4096;

/// `;URLAUTH=access` (RFC 4467 section 3): who may use the URL.
struct UrlAccess {
  enum class Kind : std::uint8_t { submit, user, authenticated, anonymous } kind = Kind::anonymous;
  std::string user;  ///< Of submit+ and user+, decoded.
  bool operator==(const UrlAccess&) const = default;
};

/// `imap://user@host/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/;PARTIAL=o.n;EXPIRE=t;URLAUTH=a:m:t`. Mailbox and user are
/// UTF-8, percent encoding undone.
struct MessageUrl {
  bool absolute = false;  ///< `imap://`; else it begins with `/`: the session's own user and server.
  std::string user;       ///< Empty: none.
  std::string server;     ///< host[:port], as written.
  std::string mailbox;
  std::optional<std::uint32_t> uid_validity;
  std::uint32_t uid = 0;
  std::optional<Section> section;  ///< Absent: the whole message.
  std::optional<Partial> partial;  ///< Without a length: octets is UINT64_MAX.
  std::optional<std::chrono::sys_seconds> expire;
  std::optional<UrlAccess> access;
  std::string mechanism;        ///< Upper case; empty in a URL that is not authorized yet.
  std::string token;            ///< As written.
  std::size_t rump_octets = 0;  ///< Of the text before `:mechanism:token`: what the token was made from.
};

/// @return syntax for what is no such URL, relative paths (RFC 5092 section 7.2) and lists of messages included.
Result<MessageUrl> parse_message_url(std::string_view text);

}  // namespace mail::imap
