// How values are written: the choice between atom, quoted and literal is made here and nowhere else.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mail::imap {

/// `"text"` where that can carry it, else a literal. `utf8`: UTF-8 may stand in quotes (after ENABLE IMAP4rev2 or
/// UTF8=ACCEPT).
void append_string(std::string& out, std::string_view text, bool utf8 = false);
/// NIL, or as append_string().
void append_nstring(std::string& out, const std::optional<std::string>& text, bool utf8 = false);
/// An atom where the text is one, else as append_string(). "NIL" is quoted.
void append_astring(std::string& out, std::string_view text, bool utf8 = false);
/// `{n}` CRLF and the octets.
void append_literal(std::string& out, std::string_view octets);
/// A mailbox name (UTF-8 here) as the client reads it: mUTF-7, or UTF-8 where `utf8`. Always quoted but for plain
/// atoms.
void append_mailbox(std::string& out, std::string_view name, bool utf8);
/// `(a b c)`
void append_list(std::string& out, const std::vector<std::string>& atoms);
/// The human-readable text of a response: one line, printable.
void append_text(std::string& out, std::string_view text);

}  // namespace mail::imap
