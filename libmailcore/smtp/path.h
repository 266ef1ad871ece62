// What MAIL and RCPT carry: the Mailbox, reverse-path and forward-path of RFC 5321 section 4.1.2, with UTF-8 as in RFC
// 6531 section 3.3.
#pragma once
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/cursor.h"
#include "base/result.h"

namespace mail::smtp {

/// local-part@domain. The null reverse-path `<>` has both empty, `<Postmaster>` has no domain.
struct Mailbox {
  std::string local_part;  ///< Without quotes and backslashes: `"a b"@x` and `a@x` hold `a b` and `a`. May be empty
                           ///< with a domain: `""@x`.
  std::string domain;      ///< As written: U-label, A-label or address literal with its brackets.

  bool null() const { return local_part.empty() && domain.empty(); }
  auto operator<=>(const Mailbox&) const = default;  // octet by octet
};

/// `local@domain`, the local part quoted where it must be; empty for the null path. No angle brackets.
std::string to_string(const Mailbox& mailbox);
/// As to_string, in angle brackets: what goes behind `MAIL FROM:`.
std::string to_path(const Mailbox& mailbox);

/// How forgiving a path is read. Each switch is on for hand-typed forms that have no other meaning.
struct PathSyntax {
  bool without_brackets = false;  ///< `MAIL FROM:a@b`
  bool null = false;              ///< `<>` (reverse-path only)
  bool without_domain = false;    ///< `<user>`; `<Postmaster>` is always a forward-path
};

/// The whole of `text` as local-part@domain, without brackets. `syntax` errors name what is wrong.
Result<Mailbox> parse_mailbox(std::string_view text);
/// The whole of `text` as `<…>`; a source route (`<@a,@b:user@c>`) is read and ignored (RFC 5321 appendix C).
Result<Mailbox> parse_path(std::string_view text, PathSyntax syntax = {});
/// A path at the cursor, which is left behind it. Leading blanks are not skipped. On failure the cursor stands
/// anywhere.
Result<Mailbox> take_path(Cursor& cursor, PathSyntax syntax = {});

/// True where `text` is a domain (labels of letters, digits, inner hyphens, UTF-8; an underscore is let pass; at most
/// 255 octets, labels at most 63) or an address literal (RFC 5321 section 4.1.3).
bool is_domain(std::string_view text);
/// True for `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
bool is_address_literal(std::string_view text);
/// `192.0.2.1` or `2001:db8::1` out of an address literal; nothing for general literals.
std::optional<std::string> literal_address(std::string_view text);
/// True where the mailbox needs SMTPUTF8.
bool needs_smtputf8(const Mailbox& mailbox);

/// Limits of RFC 5321 section 4.5.3.1, with room: a path of 256 octets is cut nowhere.
inline constexpr std::size_t kMostLocalPartOctets =
    64 * 4;  // 64 characters; several known senders (VERP, SRS) exceed 64 octets
inline constexpr std::size_t kMostDomainOctets = 255;

}  // namespace mail::smtp
