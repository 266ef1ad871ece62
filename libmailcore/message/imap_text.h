// ENVELOPE, BODY and BODYSTRUCTURE as IMAP sends them (RFC 9051 section 7.5.2, RFC 3501 section 7.4.2), from a tree.
// They live here, not in imap/, so that the store can keep the finished text in its index. Sizes are those with CRLF
// line ends. What a quoted string cannot hold is sent as a literal
// ("{5}\r\n…"); NUL becomes U+FFFD's substitute '?'.
#pragma once
#include <string>
#include <string_view>

#include "message/tree.h"

namespace mail::message {

/// "(date subject from sender reply-to to cc bcc in-reply-to message-id)" of the root, or of another message of the
/// tree.
std::string imap_envelope(const Tree& tree);
void append_imap_envelope(std::string& to, const Tree& tree, const Part& message);
/// Of a header and what find_message_fields() found in it.
void append_imap_envelope(std::string& to, const MessageFields& fields, std::string_view header);

/// The form without extension data, for FETCH BODY.
std::string imap_body(const Tree& tree);
/// The form with extension data.
std::string imap_bodystructure(const Tree& tree);
void append_imap_bodystructure(std::string& to, const Tree& tree, const Part& part, bool extensions);

/// A string as quoted or literal, NIL where data() is null.
void append_nstring(std::string& to, std::string_view text);

}  // namespace mail::message
