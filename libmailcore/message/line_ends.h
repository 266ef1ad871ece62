// Line ends between files, where lines mostly end with LF, and the wire, where they end with CRLF.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mail::message {

/// LFs in `text` that have no CR before them: so many octets more it has on the wire. `last` is the octet before `text`
/// (0 at the start).
std::uint64_t bare_lfs(std::string_view text, char last = 0);
/// Appends `text` with every LF that has no CR before it as CRLF.
void append_crlf(std::string& to, std::string_view text, char last = 0);
/// The same where bare_lfs(text, last) is known: one pass less.
void append_crlf(std::string& to, std::string_view text, char last, std::uint64_t bare);
/// As append_crlf(), with each dot that begins a line doubled (RFC 1939 section 3, RFC 5321 section 4.5.2). `last` is
/// LF where `text` begins a line.
void append_dotted_crlf(std::string& to, std::string_view text, char last = '\n');
/// Appends `text` with every CRLF as LF. A CR at the very end of a piece is held back in `pending_cr`.
void append_lf(std::string& to, std::string_view text, bool& pending_cr);

}  // namespace mail::message
