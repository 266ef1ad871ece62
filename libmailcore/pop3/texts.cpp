#include "pop3/texts.h"

#include <array>

#include "base/strings.h"

namespace mail::pop3 {
namespace {

struct Row {
  Text which;
  std::string_view in[3];
};

constexpr std::array kRows{
    Row{Text::ready, {"POP3 server ready", "POP3-Server bereit", "serveur POP3 prêt"}},
    Row{Text::unknown_command, {"Unknown command", "Unbekannter Befehl", "Commande inconnue"}},
    Row{Text::wrong_state, {"Not in this state", "Nicht in diesem Zustand", "Pas dans cet état"}},
    Row{Text::too_long, {"Line is too long", "Zeile ist zu lang", "Ligne trop longue"}},
    Row{Text::bad_octets,
        {"Not allowed in a command: NUL or 8-bit octets", "Im Befehl nicht erlaubt: NUL oder 8-Bit-Zeichen",
         "Interdit dans une commande : NUL ou octets de 8 bits"}},
    Row{Text::bad_arguments, {"Wrong arguments", "Falsche Argumente", "Mauvais arguments"}},
    Row{Text::no_such_message, {"No such message", "Keine solche Nachricht", "Message inexistant"}},
    Row{Text::send_password, {"Send PASS", "Jetzt PASS", "Envoyez PASS"}},
    Row{Text::user_first, {"USER first", "Zuerst USER", "D'abord USER"}},
    Row{Text::need_tls, {"Passwords only after STLS", "Kennwort nur nach STLS", "Mot de passe seulement après STLS"}},
    Row{Text::begin_tls, {"Begin TLS negotiation", "TLS beginnt", "Début de TLS"}},
    Row{Text::no_tls,
        {"TLS is not available or already in use", "TLS fehlt oder ist schon in Gebrauch", "TLS absent ou déjà actif"}},
    Row{Text::after_utf8, {"STLS comes before UTF8", "STLS kommt vor UTF8", "STLS vient avant UTF8"}},
    Row{Text::already_authenticated, {"Already authenticated", "Schon angemeldet", "Déjà authentifié"}},
    Row{Text::unknown_mechanism,
        {"Mechanism is not available here", "Mechanismus hier nicht verfügbar", "Mécanisme non disponible ici"}},
    Row{Text::bad_base64, {"Not base64", "Kein Base64", "Pas du base64"}},
    Row{Text::cancelled, {"Authentication cancelled", "Anmeldung abgebrochen", "Authentification annulée"}},
    Row{Text::wrong_credentials, {"Authentication failed", "Anmeldung fehlgeschlagen", "Échec de l'authentification"}},
    Row{Text::too_soon,
        {"Too soon after the last login", "Zu bald nach der letzten Anmeldung",
         "Trop tôt après la dernière connexion"}},
    Row{Text::in_use, {"Mailbox is in use", "Postfach ist in Gebrauch", "Boîte en cours d'utilisation"}},
    Row{Text::temporary,
        {"Temporary failure, try again later", "Vorübergehender Fehler, bitte später",
         "Échec temporaire, réessayez plus tard"}},
    Row{Text::permanent,
        {"Failure; tell the postmaster", "Fehler; bitte dem Postmaster melden", "Échec ; prévenez le postmaster"}},
    Row{Text::logged_in, {"Logged in", "Angemeldet", "Connecté"}},
    Row{Text::capabilities, {"Capability list follows", "Es folgen die Fähigkeiten", "Voici les capacités"}},
    Row{Text::messages, {"messages", "Nachrichten", "messages"}},
    Row{Text::octets, {"octets", "Oktette", "octets"}},
    Row{Text::top, {"Top of the message follows", "Es folgt der Anfang", "Voici le début du message"}},
    Row{Text::unique_ids, {"Unique ids follow", "Es folgen die Kennungen", "Voici les identifiants"}},
    Row{Text::deleted, {"Marked for removal", "Zum Löschen vorgemerkt", "Marqué pour suppression"}},
    Row{Text::reset, {"No message is marked", "Keine Nachricht vorgemerkt", "Aucun message marqué"}},
    Row{Text::nothing_done, {"Done", "Erledigt", "Fait"}},
    Row{Text::utf8_on, {"UTF-8 from now on", "Ab jetzt UTF-8", "UTF-8 désormais"}},
    Row{Text::languages, {"Languages follow", "Es folgen die Sprachen", "Voici les langues"}},
    Row{Text::language_changed, {"English from now on", "Ab jetzt deutsch", "Désormais en français"}},
    Row{Text::unknown_language, {"Language is not available", "Sprache nicht verfügbar", "Langue non disponible"}},
    Row{Text::bye, {"Bye", "Auf Wiedersehen", "Au revoir"}},
    Row{Text::not_all_removed,
        {"Some deleted messages were not removed", "Einige gelöschte Nachrichten wurden nicht entfernt",
         "Certains messages n'ont pas été supprimés"}},
    Row{Text::too_many_errors, {"Too many errors", "Zu viele Fehler", "Trop d'erreurs"}},
    Row{Text::timed_out, {"Timed out", "Zeit abgelaufen", "Délai dépassé"}},
    Row{Text::shutting_down, {"Server is shutting down", "Server wird beendet", "Arrêt du serveur"}},
    Row{Text::gone, {"Message is gone", "Nachricht ist fort", "Message disparu"}},
};
constexpr bool rows_in_order() {
  for (std::size_t i = 0; i < kRows.size(); ++i)
    if (static_cast<std::size_t>(kRows[i].which) != i) return false;
  return kRows.size() == static_cast<std::size_t>(Text::gone) + 1;
}
static_assert(rows_in_order(), "one row per Text, in its order");

constexpr std::string_view kTags[] = {"en", "de", "fr"};
constexpr std::string_view kNames[] = {"English", "Deutsch", "Français"};

}  // namespace

std::string_view text(Language language, Text which) {
  return kRows[static_cast<std::size_t>(which)].in[static_cast<std::size_t>(language)];
}
std::string_view language_tag(Language language) { return kTags[static_cast<std::size_t>(language)]; }
std::string_view language_name(Language language) { return kNames[static_cast<std::size_t>(language)]; }

std::optional<Language> find_language(std::string_view range) {
  if (range == "*") return kLanguages[0];
  // Look-up of RFC 4647 section 3.4: the range is shortened from its end until it is one of ours.
  for (;;) {
    for (const Language language : kLanguages)
      if (iequals(range, language_tag(language))) return language;
    const auto dash = range.rfind('-');
    if (dash == std::string_view::npos || dash == 0) return std::nullopt;
    range = range.substr(0, dash);
  }
}

}  // namespace mail::pop3
