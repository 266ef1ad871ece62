// What the server says to people, in the languages of LANG (RFC 6856 section 3): one row per text, one column per
// language.
#pragma once
#include <optional>
#include <string_view>

namespace mail::pop3 {

enum class Language : unsigned char { english, german, french };

enum class Text : unsigned char {
  ready,
  unknown_command,
  wrong_state,
  too_long,
  bad_octets,
  bad_arguments,
  no_such_message,
  send_password,
  user_first,
  need_tls,
  begin_tls,
  no_tls,
  after_utf8,
  already_authenticated,
  unknown_mechanism,
  bad_base64,
  cancelled,
  wrong_credentials,
  too_soon,
  in_use,
  temporary,
  permanent,
  logged_in,
  capabilities,
  messages,
  octets,
  top,
  unique_ids,
  deleted,
  reset,
  nothing_done,
  utf8_on,
  languages,
  language_changed,
  unknown_language,
  bye,
  not_all_removed,
  too_many_errors,
  timed_out,
  shutting_down,
  gone,
};

std::string_view text(Language language, Text which);
/// The exact tag that LANG's reply names, and the language's own name.
std::string_view language_tag(Language language);
std::string_view language_name(Language language);
/// The language for a basic language range of RFC 4647 section 2.1 (`de-CH` finds `de`; `*` the first), or nothing.
std::optional<Language> find_language(std::string_view range);
inline constexpr Language kLanguages[] = {Language::english, Language::german, Language::french};

}  // namespace mail::pop3
