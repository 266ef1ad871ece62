#include "imap/url.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace mail::imap {
namespace {

auto syntax(const char* text) { return fail(Error::Kind::syntax, text); }

bool is_hex(unsigned char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_achar(unsigned char c) {
  return is_alnum(c) || std::string_view("-._~!$'()*+,&=%").find(static_cast<char>(c)) != std::string_view::npos;
}
bool is_bchar(unsigned char c) { return is_achar(c) || c == ':' || c == '@' || c == '/'; }

/// Percent encoding undone. NUL, CR and LF can be in no name.
Result<std::string> decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto octet = from_hex(text.substr(i + 1, 2));
    if (!octet || octet->size() != 1) return syntax("Percent encoding is malformed");
    if (octet->front() == '\0' || octet->front() == '\r' || octet->front() == '\n')
      return syntax("Control character in a URL");
    out += *octet;
    i += 2;
  }
  return out;
}

/// The enc-mailbox may itself hold `/`; it ends before `;` or before `/;`.
Result<std::string> take_mailbox(Cursor& cursor) {
  auto name = cursor.take_while(is_bchar);
  if (cursor.peek() == ';' && name.ends_with('/')) {
    cursor.rewind(cursor.offset() - 1);
    name.remove_suffix(1);
  }
  if (name.empty()) return syntax("The URL names no mailbox");
  return decoded(name);
}

Status take_server(Cursor& cursor, MessageUrl& url) {
  const auto authority = cursor.take_while([](unsigned char c) { return c != '/'; });
  const auto at = authority.rfind('@');
  url.server = authority.substr(at == std::string_view::npos ? 0 : at + 1);
  if (url.server.empty()) return syntax("The URL names no server");
  if (at == std::string_view::npos) return {};
  // `user;AUTH=mechanism`: how a client would log in says nothing here.
  const auto encoded = split_once(authority.substr(0, at), ';').first;
  if (!std::ranges::all_of(encoded, [](char c) { return is_achar(static_cast<unsigned char>(c)); }))
    return syntax("The URL's user is malformed");
  MAIL_TRY(user, decoded(encoded));
  url.user = std::move(user);
  return {};
}

Status take_section_of(Cursor& cursor, MessageUrl& url) {
  auto encoded = cursor.take_while(is_bchar);
  // `;SECTION=1.2/;PARTIAL=…`: the slash is the next component's.
  if (cursor.peek() == ';' && encoded.ends_with('/')) {
    cursor.rewind(cursor.offset() - 1);
    encoded.remove_suffix(1);
  }
  MAIL_TRY(text, decoded(encoded));
  text += ']';
  Arguments arguments(text);
  MAIL_TRY(section, take_section(arguments));
  if (!arguments.at_end()) return syntax("The URL's section is malformed");
  url.section = std::move(section);
  return {};
}

Status take_partial(Cursor& cursor, MessageUrl& url) {
  const auto offset = cursor.take_decimal<std::uint64_t>();
  if (!offset) return syntax("The URL's PARTIAL is malformed");
  url.partial = Partial{*offset, UINT64_MAX};
  if (!cursor.take('.')) return {};
  const auto octets = cursor.take_decimal<std::uint64_t>();
  if (!octets || *octets == 0) return syntax("The URL's PARTIAL is malformed");
  url.partial->octets = *octets;
  return {};
}

/// date-time of RFC 3339: `2026-11-22T06:00:00.5+01:00`.
Status take_expire(Cursor& cursor, MessageUrl& url) {
  const auto number = [&](std::size_t digits) -> std::optional<unsigned> {
    const auto text = cursor.take_octets(digits);
    return text ? parse_decimal<unsigned>(*text) : std::nullopt;
  };
  const auto malformed = [] { return syntax("The URL's EXPIRE is malformed"); };
  const auto year = number(4);
  const bool dash = cursor.take('-');
  const auto month = number(2);
  const bool second_dash = cursor.take('-');
  const auto day = number(2);
  if (!year || !dash || !month || !second_dash || !day || !cursor.take_word("T")) return malformed();
  const auto hour = number(2);
  const bool colon = cursor.take(':');
  const auto minute = number(2);
  const bool second_colon = cursor.take(':');
  const auto second = number(2);
  if (!hour || !colon || !minute || !second_colon || !second) return malformed();
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)}, std::chrono::month{*month},
                                         std::chrono::day{*day}};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return malformed();
  if (cursor.take('.') && cursor.take_while(is_digit).empty()) return malformed();
  std::chrono::minutes zone{0};
  if (!cursor.take_word("Z")) {
    const bool west = cursor.take('-');
    if (!west && !cursor.take('+')) return malformed();
    const auto hours = number(2);
    const bool zone_colon = cursor.take(':');
    const auto minutes = number(2);
    if (!hours || !zone_colon || !minutes || *hours > 23 || *minutes > 59) return malformed();
    zone = std::chrono::hours{*hours} + std::chrono::minutes{*minutes};
    if (west) zone = -zone;
  }
  url.expire = std::chrono::sys_days{date} + std::chrono::hours{*hour} + std::chrono::minutes{*minute} +
               std::chrono::seconds{*second} - zone;
  return {};
}

Status take_urlauth(Cursor& cursor, std::string_view text, MessageUrl& url) {
  const auto access = cursor.take_while(is_achar);
  UrlAccess out;
  using Kind = UrlAccess::Kind;
  const auto named = [&](std::string_view prefix, Kind kind) -> Status {
    MAIL_TRY(user, decoded(access.substr(prefix.size())));
    if (user.empty()) return syntax("The URL's access identifier names no user");
    out = {kind, std::move(user)};
    return {};
  };
  if (istarts_with(access, "submit+"))
    MAIL_CHECK(named("submit+", Kind::submit));
  else if (istarts_with(access, "user+"))
    MAIL_CHECK(named("user+", Kind::user));
  else if (iequals(access, "authuser"))
    out.kind = Kind::authenticated;
  else if (iequals(access, "anonymous"))
    out.kind = Kind::anonymous;
  else
    return syntax("The URL's access identifier is unknown");
  url.access = std::move(out);
  url.rump_octets = cursor.offset();
  if (cursor.at_end()) return {};
  if (!cursor.take(':')) return syntax("The URL goes on behind its access identifier");
  const auto mechanism = cursor.take_while([](unsigned char c) { return is_alnum(c) || c == '-' || c == '.'; });
  if (mechanism.empty() || !cursor.take(':')) return syntax("The URL's mechanism is malformed");
  url.mechanism = to_upper(mechanism);
  url.token = cursor.take_while(is_hex);
  if (url.token.size() < 32 || cursor.offset() != text.size()) return syntax("The URL's token is malformed");
  return {};
}

}  // namespace

Result<MessageUrl> parse_message_url(std::string_view text) {
  MessageUrl url;
  if (text.size() > kMostUrlOctets) return syntax("The URL is too long");
  Cursor cursor(text);
  if (cursor.take_word("imap://")) {
    url.absolute = true;
    MAIL_CHECK(take_server(cursor, url));
  }
  if (!cursor.take('/') || cursor.peek() == '/') return syntax("Not a URL of a message");
  MAIL_TRY(mailbox, take_mailbox(cursor));
  url.mailbox = std::move(mailbox);
  const auto number = [&](std::optional<std::uint32_t>& out) -> Status {
    out = cursor.take_decimal<std::uint32_t>();
    if (!out || *out == 0) return syntax("A number of the URL is malformed");
    return {};
  };
  if (cursor.take_word(";UIDVALIDITY=")) MAIL_CHECK(number(url.uid_validity));
  if (!cursor.take_word("/;UID=")) return syntax("The URL names no message");
  std::optional<std::uint32_t> uid;
  MAIL_CHECK(number(uid));
  url.uid = *uid;
  if (cursor.take_word("/;SECTION=")) MAIL_CHECK(take_section_of(cursor, url));
  if (cursor.take_word("/;PARTIAL=")) MAIL_CHECK(take_partial(cursor, url));
  if (cursor.take_word(";EXPIRE=")) MAIL_CHECK(take_expire(cursor, url));
  url.rump_octets = text.size();
  if (cursor.take_word(";URLAUTH="))
    MAIL_CHECK(take_urlauth(cursor, text, url));
  else if (url.expire)
    return syntax("EXPIRE needs URLAUTH");
  if (!cursor.at_end()) return syntax("The URL goes on where it should end");
  return url;
}

}  // namespace mail::imap
