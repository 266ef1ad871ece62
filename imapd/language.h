// What the server says to people, in the language of LANGUAGE (RFC 5255 section 3). The code is written in English
// (which is i-default as well); other languages are a table of the texts.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mail::imapd {

enum class Language { i_default, en, fr };

/// Tags, in the order in which LANGUAGE tells them.
std::span<const std::string_view> language_tags();
std::string_view tag_of(Language language);
/// The language for a range, by look-up (RFC 4647 section 3.4): `fr-CA` finds `fr`; `default` is i-default.
std::optional<Language> find_language(std::string_view range);
/// `[CODE …] text` or `text` in the language; in English where nobody has translated it.
std::string in_language(Language language, std::string text);

}  // namespace mail::imapd
