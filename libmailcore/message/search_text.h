// What SEARCH looks at: text decoded from its transfer encoding and charset, case-folded (append_folded()). A folded
// key is searched in it by octets.
#pragma once
#include <string>
#include <string_view>

#include "message/tree.h"

namespace mail::message {

/// Text kept of one message at most, in octets after folding: bounds what an encoding bomb can cost.
inline constexpr std::size_t kMaximumSearchText = 64U << 20U;

/// All fields of the message's header, "name: decoded value" and LF each.
void append_header_search_text(std::string& to, std::string_view header);
/// One field's value.
std::string field_search_text(std::string_view value);
/// The text parts (HTML without tags), headers of messages within and of body parts, each followed by LF; no other
/// attachments (RFC 9051 section 6.4.4).
void append_body_search_text(std::string& to, const Tree& tree);

/// All that SEARCH TEXT looks at, in place of what `to` held. `tree` is scratch.
/// @return where the body begins in it: from there on it is what SEARCH BODY looks at
std::size_t search_text(std::string_view raw, Tree& tree, std::string& to);

/// Whether what search_text() would give contains a folded needle; without `with_header` from the body on. Looks at one
/// part after the other, and at those in plain ASCII where they lie. `tree` and `scratch` are scratch.
bool search_text_contains(std::string_view raw, bool with_header, std::string_view needle, Tree& tree,
                          std::string& scratch);

/// The content of a leaf as UTF-8: transfer encoding and charset undone; HTML stays HTML.
std::string decoded_text(const Tree& tree, const Part& part);
/// The content of a leaf with its transfer encoding undone.
std::string decoded_content(const Tree& tree, const Part& part);
/// The first so many characters of the text for people, one line, no quoted lines (RFC 8970 PREVIEW, `mua list`).
std::string preview(const Tree& tree, std::size_t characters = 200);

}  // namespace mail::message
