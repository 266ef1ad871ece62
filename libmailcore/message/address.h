// Address lists of header fields (RFC 5322 section 3.4 with the obsolete forms of 4.4, RFC 6532 for UTF-8). Lenient:
// takes what is found in mail.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mail::message {

/// A mailbox, or where a group begins or ends, as in IMAP's ENVELOPE.
struct Address {
  enum class Kind : std::uint8_t { mailbox, group_begin, group_end } kind = Kind::mailbox;
  std::string display_name;   ///< Of a mailbox or group: quotes removed, encoded words as found (decode_header_text()
                              ///< decodes them).
  std::string route;          ///< obs-route, "@a,@b", mostly empty.
  std::string local_part;     ///< Without quotes: `a b` for "a b"@c.
  std::string domain;         ///< Domain or [literal]; empty where there was none.
  bool from_comment = false;  ///< The display name is the comment after a bare address ("a@b (Ann)").
  bool operator==(const Address&) const = default;
};

/// A mailbox in one of the forms that most have: `a@b`, `Ann Lee <a@b>`, `"Lee, Ann" <a@b>`, as views into them.
struct PlainMailbox {
  std::string_view display_name, local_part, domain;
};
/// Takes the first mailbox of a list, with the comma behind it, where it has such a form; else nothing is taken. What
/// for_each_address() makes of it is the same.
std::optional<PlainMailbox> take_plain_mailbox(std::string_view& list);

/// Calls `visit` for each address; the object is used again for the next one.
/// @return false where something was skipped as garbage
bool for_each_address(std::string_view value, const std::function<void(const Address&)>& visit);
std::vector<Address> parse_addresses(std::string_view value);
/// The mailboxes only, groups opened.
std::vector<Address> parse_mailboxes(std::string_view value);
/// Exactly one mailbox, nothing else; strict: for what a user types. UTF-8 is allowed.
std::optional<Address> parse_mailbox(std::string_view text);

/// local-part@domain, the local part quoted where it must be; only the local part where there is no domain.
std::string addr_spec(const Address& address);
/// The mailbox for a header field: display name (UTF-8) as phrase or encoded words, <addr-spec>.
std::string to_header(const Address& address);
/// The mailbox for people: decoded, "Ann <a@b>".
std::string to_display(const Address& address);
/// A list for a header field, folded after commas at 78 columns.
/// @param column  how much of the first line is used
std::string to_header(const std::vector<Address>& addresses, std::size_t column);

/// What RFC 5321 and RFC 5322 make of an addr-spec on its own.
enum class AddressValidity : std::uint8_t {
  smtp,    ///< A Mailbox of RFC 5321 (with RFC 6531 for UTF-8).
  header,  ///< Only an addr-spec of RFC 5322: comments, folding, obsolete forms.
  invalid,
};
AddressValidity validate_addr_spec(std::string_view text);

}  // namespace mail::message
