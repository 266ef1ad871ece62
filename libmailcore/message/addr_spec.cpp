// Strict reading of one addr-spec: which of the two standards allows it.
#include <algorithm>
#include <optional>

#include "base/cursor.h"
#include "base/strings.h"
#include "message/address.h"

namespace mail::message {

namespace {

// RFC 5321 section 4.5.3.1 and RFC 1035 section 2.3.4.
constexpr std::size_t kMostLocalPart = 64;
constexpr std::size_t kMostDomain = 255;
constexpr std::size_t kMostLabel = 63;
constexpr std::size_t kMostAddress = 254;  // a path is at most 256 with its angle brackets

bool is_atext(unsigned char c) {
  return is_alnum(c) || c >= 0x80 ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(static_cast<char>(c)) != std::string_view::npos;
}

/// CFWS of RFC 5322 section 3.2.2 and 4.2. `folded` is set where something was there; false on a comment that is not
/// closed or a stray CR.
bool skip_cfws(Cursor& in, bool& there) {
  for (;;) {
    if (is_space(static_cast<unsigned char>(in.peek() < 0 ? 0 : in.peek()))) {
      in.skip(1);
      there = true;
    } else if (in.peek() == '\r' && in.peek(1) == '\n' && (in.peek(2) == ' ' || in.peek(2) == '\t')) {
      in.skip(3);
      there = true;
    } else if (in.peek() == '(') {
      there = true;
      int depth = 0;
      do {
        const int c = in.peek();
        if (c < 0) return false;
        if (c == '\r') {
          if (in.peek(1) != '\n' || (in.peek(2) != ' ' && in.peek(2) != '\t')) return false;
          in.skip(3);
          continue;
        }
        if (c == '\n') return false;
        if (c == '\\' && in.peek(1) < 0) return false;
        if (c == 0 && depth > 0) return false;
        in.skip(c == '\\' ? 2 : 1);
        if (c == '(') ++depth;
        if (c == ')') --depth;
      } while (depth > 0);
    } else {
      return in.peek() != '\r' && in.peek() != '\n';
    }
  }
}

/// A quoted-string; `simple` is cleared where SMTP's narrower Quoted-string does not allow it.
bool take_quoted_string(Cursor& in, bool& simple) {
  in.skip(1);
  for (;;) {
    const int c = in.peek();
    if (c < 0) return false;
    if (c == '\r') {
      if (in.peek(1) != '\n' || (in.peek(2) != ' ' && in.peek(2) != '\t')) return false;
      in.skip(3);
      simple = false;
      continue;
    }
    if (c == '\n' || c == 0) return false;
    in.skip(1);
    if (c == '"') return true;
    if (c == '\\') {
      const int next = in.peek();
      if (next < 0 || next >= 0x80) return false;
      if (next < 0x20 || next == 0x7F) simple = false;
      in.skip(1);
    } else if (c < 0x20 || c == 0x7F) {
      simple = false;
    }
  }
}

/// word *("." word), with CFWS anywhere (obs-local-part); an SMTP local part is one quoted string or a dot-atom.
bool take_local_part(Cursor& in, bool& simple) {
  const auto begin = in.offset();
  std::size_t words = 0;
  bool any_quoted = false;
  do {
    bool cfws = false;
    if (!skip_cfws(in, cfws)) return false;
    if (cfws) simple = false;
    if (in.peek() == '"') {
      any_quoted = true;
      if (!take_quoted_string(in, simple)) return false;
    } else if (in.take_while(is_atext).empty()) {
      return false;
    }
    ++words;
    cfws = false;
    if (!skip_cfws(in, cfws)) return false;
    if (cfws) simple = false;
  } while (in.take('.'));
  if ((any_quoted && words > 1) || in.offset() - begin > kMostLocalPart) simple = false;
  return true;
}

bool is_ipv4(std::string_view text) {
  const auto parts = split(text, '.');
  if (parts.size() != 4) return false;
  return std::ranges::all_of(parts, [](std::string_view part) {
    const auto value = parse_decimal<unsigned>(part);
    return value && part.size() <= 3 && is_digit(static_cast<unsigned char>(part.front())) && *value <= 255;
  });
}

/// IPv6-addr of RFC 5321 section 4.1.3.
bool is_ipv6(std::string_view text) {
  const auto gap = text.find("::");
  if (gap != std::string_view::npos && text.find("::", gap + 1) != std::string_view::npos) return false;
  std::size_t groups = 0;
  const auto count = [&](std::string_view part, bool last) {
    if (part.empty()) return true;
    const auto words = split(part, ':');
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (last && i + 1 == words.size() && words[i].find('.') != std::string_view::npos) {
        if (!is_ipv4(words[i])) return false;
        groups += 2;
        continue;
      }
      const bool hex = std::ranges::all_of(words[i], [](char c) {
        return is_digit(static_cast<unsigned char>(c)) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
      });
      if (words[i].empty() || words[i].size() > 4 || !hex) return false;
      ++groups;
    }
    return true;
  };
  if (gap == std::string_view::npos) return count(text, true) && groups == 8;
  return count(text.substr(0, gap), false) && count(text.substr(gap + 2), true) && groups <= 6;
}

bool is_smtp_literal(std::string_view content) {
  if (is_ipv4(content)) return true;
  return istarts_with(content, "IPv6:") && is_ipv6(content.substr(5));  // no other tag was ever registered
}

bool take_domain_literal(Cursor& in, bool& simple) {
  in.skip(1);
  std::string content;
  for (;;) {
    const int c = in.peek();
    if (c < 0 || c == '[' || c == 0) return false;
    if (c == '\r') {
      if (in.peek(1) != '\n' || (in.peek(2) != ' ' && in.peek(2) != '\t')) return false;
      in.skip(3);
      simple = false;
      continue;
    }
    if (c == '\n') return false;
    in.skip(1);
    if (c == ']') break;
    if (c == '\\') {
      if (in.peek() < 0) return false;
      in.skip(1);
      simple = false;
      continue;
    }
    content += static_cast<char>(c);
  }
  if (!is_smtp_literal(content)) simple = false;
  return true;
}

bool take_domain(Cursor& in, bool& simple) {
  bool cfws = false;
  if (!skip_cfws(in, cfws)) return false;
  if (in.peek() == '[') {
    if (!take_domain_literal(in, simple)) return false;
    if (!skip_cfws(in, cfws)) return false;
    if (cfws) simple = false;
    return true;
  }
  std::size_t octets = 0;
  do {
    if (!skip_cfws(in, cfws)) return false;
    const auto label = in.take_while(is_atext);
    if (label.empty()) return false;
    octets += label.size() + 1;
    const bool ldh = std::ranges::all_of(label, [](char c) {
      return is_alnum(static_cast<unsigned char>(c)) || c == '-' || static_cast<unsigned char>(c) >= 0x80;
    });
    if (label.starts_with('-') || label.ends_with('-')) return false;
    if (!ldh || label.size() > kMostLabel) simple = false;
    if (!skip_cfws(in, cfws)) return false;
  } while (in.take('.'));
  if (cfws || octets - 1 > kMostDomain) simple = false;
  return true;
}

}  // namespace

AddressValidity validate_addr_spec(std::string_view text) {
  Cursor in(text);
  bool simple = text.size() <= kMostAddress && is_utf8(text);
  if (!take_local_part(in, simple) || !in.take('@') || !take_domain(in, simple) || !in.at_end())
    return AddressValidity::invalid;
  return simple ? AddressValidity::smtp : AddressValidity::header;
}

}  // namespace mail::message
