#include "imap/response.h"

#include <algorithm>

#include "base/strings.h"
#include "imap/arguments.h"
#include "imap/mutf7.h"

namespace mail::imap {
namespace {
/// Clients' line buffers are finite: longer strings go as literals.
constexpr std::size_t kMostQuoted = 4096;

/// 0: quoted as it is, 1: needs escapes, 2: literal.
int quoting(std::string_view text, bool utf8) {
  if (text.size() > kMostQuoted) return 2;
  int needs = 0;
  bool eight_bit = false;
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet == '\r' || octet == '\n' || octet == 0) return 2;
    if (octet == '"' || octet == '\\') needs = 1;
    eight_bit = eight_bit || octet >= 0x80;
  }
  if (eight_bit && (!utf8 || !is_utf8(text))) return 2;
  return needs;
}
}  // namespace

void append_literal(std::string& out, std::string_view octets) {
  out += '{';
  append_decimal(out, octets.size());
  out += "}\r\n";
  out += octets;
}

void append_string(std::string& out, std::string_view text, bool utf8) {
  const int how = quoting(text, utf8);
  if (how == 2) return append_literal(out, text);
  out += '"';
  if (how == 0) {
    out += text;
  } else {
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  out += '"';
}

void append_nstring(std::string& out, const std::optional<std::string>& text, bool utf8) {
  if (text)
    append_string(out, *text, utf8);
  else
    out += "NIL";
}

void append_astring(std::string& out, std::string_view text, bool utf8) {
  const bool atom = !text.empty() && !iequals(text, "NIL") &&
                    std::ranges::all_of(text, [](char c) { return is_atom_char(static_cast<unsigned char>(c)); });
  if (atom)
    out += text;
  else
    append_string(out, text, utf8);
}

void append_mailbox(std::string& out, std::string_view name, bool utf8) {
  if (utf8) return append_astring(out, name, true);
  append_astring(out, to_mutf7(name), false);
}

void append_list(std::string& out, const std::vector<std::string>& atoms) {
  out += '(';
  for (std::size_t i = 0; i < atoms.size(); ++i) {
    if (i > 0) out += ' ';
    out += atoms[i];
  }
  out += ')';
}

void append_text(std::string& out, std::string_view text) {
  for (const char c : text) out += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? ' ' : c;
}

}  // namespace mail::imap
