#include "smtp/path.h"

#include <arpa/inet.h>

#include <array>

#include "base/strings.h"

namespace mail::smtp {
namespace {

// RFC 5322 atext, and with RFC 6531 every octet of UTF-8 beyond ASCII (well-formedness is checked on the whole).
constexpr std::array<bool, 256> make_atext() {
  std::array<bool, 256> set{};
  for (unsigned c = 0; c < 256; ++c) set[c] = is_alnum(static_cast<unsigned char>(c)) || c >= 0x80;
  for (const char c : std::string_view("!#$%&'*+-/=?^_`{|}~")) set[static_cast<unsigned char>(c)] = true;
  return set;
}
constexpr auto kAtext = make_atext();
bool is_atext(unsigned char c) { return kAtext[c]; }
bool is_domain_octet(unsigned char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.' || c >= 0x80; }

bool is_dot_string(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.') return false;
  char before = 0;
  for (const char c : text) {
    if (c == '.' ? before == '.' : !is_atext(static_cast<unsigned char>(c))) return false;
    before = c;
  }
  return true;
}

tl::unexpected<Error> wrong(std::string_view what) { return fail(Error::Kind::syntax, std::string(what)); }

Result<std::string> take_quoted(Cursor& cursor) {
  std::string text;
  cursor.skip(1);
  while (!cursor.take('"')) {
    if (cursor.take('\\') && cursor.at_end()) return wrong("A quoted local part is not closed");
    const int c = cursor.peek();
    if (c < 0) return wrong("A quoted local part is not closed");
    if (c < 32 || c == 127) return wrong("A control character in the local part");
    text += static_cast<char>(c);
    cursor.skip(1);
  }
  return text;
}

Result<std::string> take_local_part(Cursor& cursor) {
  std::string local_part;
  if (cursor.peek() == '"') {
    MAIL_TRY(quoted, take_quoted(cursor));
    local_part = std::move(quoted);
  } else {
    local_part = cursor.take_while([](unsigned char c) { return is_atext(c) || c == '.'; });
    if (local_part.empty()) return wrong("There is no local part");
    if (!is_dot_string(local_part)) return wrong("The local part is not an RFC 5321 dot-string");
  }
  if (local_part.size() > kMostLocalPartOctets) return wrong("The local part is too long");
  if (!is_utf8(local_part)) return wrong("The local part is not UTF-8");
  return local_part;
}

Result<std::string> take_domain(Cursor& cursor) {
  std::string_view domain;
  if (cursor.peek() == '[') {
    const auto close = cursor.rest().find(']');
    if (close == std::string_view::npos) return wrong("An address literal is not closed");
    domain = cursor.rest().substr(0, close + 1);
    cursor.skip(close + 1);
  } else {
    domain = cursor.take_while(is_domain_octet);
  }
  if (!is_domain(domain)) return wrong(domain.empty() ? "There is no domain" : "The domain is malformed");
  return std::string(domain);
}

// RFC 5321 appendix C: a source route is understood and ignored.
Status skip_source_route(Cursor& cursor) {
  do {
    if (!cursor.take('@')) return wrong("The source route is malformed");
    MAIL_CHECK(take_domain(cursor));
  } while (cursor.take(','));
  if (!cursor.take(':')) return wrong("The source route is malformed");
  return {};
}

Result<Mailbox> take_mailbox(Cursor& cursor, bool without_domain) {
  Mailbox mailbox;
  MAIL_TRY(local_part, take_local_part(cursor));
  mailbox.local_part = std::move(local_part);
  if (!cursor.take('@')) {
    if (!mailbox.local_part.empty() && (without_domain || iequals(mailbox.local_part, "postmaster"))) return mailbox;
    return wrong("There is no domain");
  }
  MAIL_TRY(domain, take_domain(cursor));
  mailbox.domain = std::move(domain);
  return mailbox;
}

}  // namespace

std::string to_string(const Mailbox& mailbox) {
  if (mailbox.null()) return {};
  std::string text;
  if (is_dot_string(mailbox.local_part)) {
    text = mailbox.local_part;
  } else {
    text += '"';
    for (const char c : mailbox.local_part) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  if (!mailbox.domain.empty()) text.append("@").append(mailbox.domain);
  return text;
}

std::string to_path(const Mailbox& mailbox) { return concat({"<", to_string(mailbox), ">"}); }

Result<Mailbox> take_path(Cursor& cursor, PathSyntax syntax) {
  if (cursor.at_end()) return wrong("There is no address");
  if (!cursor.take('<')) {
    if (!syntax.without_brackets) return wrong("A path stands in angle brackets");
    return take_mailbox(cursor, syntax.without_domain);
  }
  if (cursor.take('>')) {
    if (!syntax.null) return wrong("The path is empty");
    return Mailbox{};
  }
  if (cursor.peek() == '@') MAIL_CHECK(skip_source_route(cursor));
  MAIL_TRY(mailbox, take_mailbox(cursor, syntax.without_domain));
  if (!cursor.take('>')) return wrong("The path is not closed");
  return std::move(mailbox);
}

Result<Mailbox> parse_path(std::string_view text, PathSyntax syntax) {
  Cursor cursor(text);
  MAIL_TRY(mailbox, take_path(cursor, syntax));
  if (!cursor.at_end()) return wrong("Something follows the path");
  return std::move(mailbox);
}

Result<Mailbox> parse_mailbox(std::string_view text) {
  Cursor cursor(text);
  MAIL_TRY(mailbox, take_mailbox(cursor, false));
  if (!cursor.at_end()) return wrong("Something follows the address");
  return std::move(mailbox);
}

bool is_domain(std::string_view text) {
  if (text.starts_with('[')) return is_address_literal(text);
  if (text.empty() || text.size() > kMostDomainOctets || !is_utf8(text)) return false;
  for (const auto label : split(text, '.')) {
    // A label of U-labels may be longer in UTF-8 than the 63 octets of its A-label.
    if (label.empty() || label.size() > (is_ascii(label) ? 63U : 252U)) return false;
    if (label.front() == '-' || label.back() == '-') return false;
    for (const char c : label)
      if (!is_domain_octet(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

std::optional<std::string> literal_address(std::string_view text) {
  if (text.size() < 3 || text.size() > 64 || text.front() != '[' || text.back() != ']') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  if (istarts_with(text, "IPv6:")) {
    const std::string address(text.substr(5));
    in6_addr parsed{};
    if (inet_pton(AF_INET6, address.c_str(), &parsed) != 1) return std::nullopt;
    return address;
  }
  const std::string address(text);
  in_addr parsed{};
  if (inet_pton(AF_INET, address.c_str(), &parsed) != 1) return std::nullopt;
  return address;
}

bool is_address_literal(std::string_view text) { return literal_address(text).has_value(); }

bool needs_smtputf8(const Mailbox& mailbox) { return !is_ascii(mailbox.local_part) || !is_ascii(mailbox.domain); }

}  // namespace mail::smtp
