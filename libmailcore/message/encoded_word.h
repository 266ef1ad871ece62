// Encoded words (RFC 2047, language tags of RFC 2231 section 5): non-ASCII text in header fields.
#pragma once
#include <string>
#include <string_view>

namespace mail::message {

/// An unstructured field value or a phrase as UTF-8: unfolded, trimmed, encoded words decoded, white space between
/// adjacent ones dropped. Adjacent words of one charset are joined before conversion, since mailers split multi-octet
/// characters. Words inside of other text and words with spaces are decoded too, for they are common. Raw 8-bit octets:
/// see append_as_utf8() with no charset.
std::string decode_header_text(std::string_view value);
/// As decode_header_text(), appended, not trimmed.
void append_decoded_header_text(std::string& to, std::string_view value);

/// `text` (UTF-8) for an unstructured field such as Subject: as it is where it is printable ASCII and cannot be taken
/// for an encoded word, else as encoded words, B or Q, whichever is shorter. Line breaks and controls become spaces: no
/// text can start a header field. Folded at 76 columns.
/// @param column  how much of the first line is used ("Subject: ")
std::string encode_unstructured(std::string_view text, std::size_t column);
/// `text` for a phrase (a display name): an atom sequence, a quoted-string, or encoded words.
std::string encode_phrase(std::string_view text);

}  // namespace mail::message
