// Character sets to UTF-8. ASCII, UTF-8, Latin-1 and windows-1252 by tables here, all others by ICU.
#pragma once
#include <string>
#include <string_view>

namespace mail::message {

/// `octets` of `charset` (a MIME name or alias, any case) as well-formed UTF-8, appended. What is no character becomes
/// U+FFFD. An unknown or empty charset: taken as UTF-8 where it is that, else as windows-1252, which is what unlabelled
/// 8-bit mail mostly is. Output is bounded by four octets for each octet of input.
/// @return false where the charset is unknown
bool append_as_utf8(std::string& to, std::string_view octets, std::string_view charset);
std::string to_utf8(std::string_view octets, std::string_view charset);
bool is_known_charset(std::string_view charset);

/// Well-formed UTF-8: each octet that is not part of one becomes U+FFFD.
std::string repair_utf8(std::string_view text);

/// For comparing and searching without regard to case: i;unicode-casemap (RFC 5051) as full case folding after
/// compatibility decomposition, so that "É", "é" and "e + U+0301" are the same. `text` is UTF-8; ASCII takes a fast
/// path.
void append_folded(std::string& to, std::string_view text);
std::string fold_case(std::string_view text);

/// Columns that UTF-8 text takes on a terminal (East Asian wide characters count two, combining ones none).
std::size_t display_columns(std::string_view text);
/// As much of `text` as fits into `columns`, whole characters.
std::string_view clip_columns(std::string_view text, std::size_t columns);

}  // namespace mail::message
