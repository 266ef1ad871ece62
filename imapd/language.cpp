#include "imapd/language.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace mail::imapd {

namespace {

constexpr std::array<std::string_view, 3> kTags{"en", "fr", "i-default"};

struct Translation {
  std::string_view english, french;
};

/// By octets. A text that is not here is told in English.
constexpr std::array kTexts{
    Translation{"A message cannot be empty", "Un message ne peut pas être vide"},
    Translation{"Already logged in", "Session déjà ouverte"},
    Translation{"Authentication cancelled", "Authentification annulée"},
    Translation{"Authentication failed", "Échec de l'authentification"},
    Translation{"Authentication is not possible now", "L'authentification est impossible pour le moment"},
    Translation{"Begin TLS negotiation now", "Commencez la négociation TLS"},
    Translation{"Capability expected", "Nom de capacité attendu"},
    Translation{"DEFLATE active", "DEFLATE actif"},
    Translation{"DEFLATE is active already", "DEFLATE est déjà actif"},
    Translation{"DONE expected", "DONE attendu"},
    Translation{"FLAGS expected", "FLAGS attendu"},
    Translation{"Flags not stored", "Les marques n'ont pas été enregistrées"},
    Translation{"INBOX cannot be deleted", "INBOX ne peut pas être supprimée"},
    Translation{"Invalid entry name", "Nom d'entrée invalide"},
    Translation{"Invalid identifier", "Identifiant invalide"},
    Translation{"Log in first", "Ouvrez d'abord une session"},
    Translation{"Logged in", "Session ouverte"},
    Translation{"Logging out", "Fin de session"},
    Translation{"Mailbox is read-only", "La boîte est en lecture seule"},
    Translation{"Mailbox name is not valid", "Nom de boîte invalide"},
    Translation{"Mailboxes cannot be listed", "Les boîtes ne peuvent pas être énumérées"},
    Translation{"Mailboxes stay with their owner", "Une boîte reste chez son propriétaire"},
    Translation{"Malformed authentication data", "Données d'authentification mal formées"},
    Translation{"Mechanism is not offered", "Mécanisme non proposé"},
    Translation{"Message is too big", "Message trop volumineux"},
    Translation{"Messages cannot be read", "Les messages ne peuvent pas être lus"},
    Translation{"No matching comparator", "Aucun comparateur ne correspond"},
    Translation{"No such mailbox", "Cette boîte n'existe pas"},
    Translation{"No such message", "Ce message n'existe pas"},
    Translation{"No such quota root", "Cette racine de quota n'existe pas"},
    Translation{"Not appended", "Message non ajouté"},
    Translation{"Not changed", "Rien n'a été changé"},
    Translation{"Not copied", "Rien n'a été copié"},
    Translation{"Not created", "Boîte non créée"},
    Translation{"Not deleted", "Boîte non supprimée"},
    Translation{"Not expunged", "Rien n'a été effacé"},
    Translation{"Not moved", "Rien n'a été déplacé"},
    Translation{"Not renamed", "Boîte non renommée"},
    Translation{"Not stored", "Rien n'a été enregistré"},
    Translation{"Permission denied", "Droits insuffisants"},
    Translation{"Previous mailbox closed", "La boîte précédente est fermée"},
    Translation{"Quota is not known", "Le quota n'est pas connu"},
    Translation{"Rights not changed", "Les droits n'ont pas été changés"},
    Translation{"SEARCH is not possible", "Recherche impossible"},
    Translation{"Select a mailbox first", "Sélectionnez d'abord une boîte"},
    Translation{"Some messages are gone", "Des messages ont disparu"},
    Translation{"Some messages cannot be read", "Des messages ne peuvent pas être lus"},
    Translation{"Start TLS first", "Commencez par TLS"},
    Translation{"TLS is active already", "TLS est déjà actif"},
    Translation{"TLS is not available", "TLS n'est pas disponible"},
    Translation{"The mailbox cannot be opened", "La boîte ne peut pas être ouverte"},
    Translation{"The mailbox is gone or was replaced", "La boîte a disparu ou a été remplacée"},
    Translation{"The selected mailbox was deleted", "La boîte sélectionnée a été supprimée"},
    Translation{"Too many entries", "Trop d'entrées"},
    Translation{"Too many errors", "Trop d'erreurs"},
    Translation{"Too many failed logins", "Trop d'échecs de connexion"},
    Translation{"Unknown command", "Commande inconnue"},
    Translation{"Unknown right", "Droit inconnu"},
    Translation{"Unsupported language", "Langue non prise en charge"},
};
static_assert(std::ranges::is_sorted(kTexts, {}, &Translation::english));

std::string in_french(std::string_view text) {
  const auto found = std::ranges::lower_bound(kTexts, text, {}, &Translation::english);
  if (found != kTexts.end() && found->english == text) return std::string(found->french);
  constexpr std::string_view kCompleted = " completed";
  if (text.ends_with(kCompleted)) return concat({text.substr(0, text.size() - kCompleted.size()), " : terminé"});
  return std::string(text);
}

}  // namespace

std::span<const std::string_view> language_tags() { return kTags; }

std::string_view tag_of(Language language) {
  switch (language) {
    case Language::en:
      return "en";
    case Language::fr:
      return "fr";
    case Language::i_default:
      break;
  }
  return "i-default";
}

std::optional<Language> find_language(std::string_view range) {
  if (iequals(range, "default") || iequals(range, "i-default")) return Language::i_default;
  for (;;) {
    if (iequals(range, "en")) return Language::en;
    if (iequals(range, "fr")) return Language::fr;
    const auto dash = range.rfind('-');
    if (dash == std::string_view::npos) return std::nullopt;
    range = range.substr(0, dash);
  }
}

std::string in_language(Language language, std::string text) {
  if (language != Language::fr) return text;
  std::size_t begin = 0;
  if (text.starts_with('[')) {
    const auto close = text.find("] ");
    if (close == std::string::npos) return text;
    begin = close + 2;
  }
  return text.substr(0, begin) + in_french(std::string_view(text).substr(begin));
}

}  // namespace mail::imapd
