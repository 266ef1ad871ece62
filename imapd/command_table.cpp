#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "base/strings.h"
#include "imapd/capability.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {

std::span<const std::span<const Command>> command_families() {
  static const std::array kFamilies{
      general_commands(), login_commands(),  mailbox_commands(),     list_commands(),     append_commands(),
      idle_commands(),    fetch_commands(),  store_commands(),       copy_commands(),     search_commands(),
      sort_commands(),    quota_commands(),  compress_commands(),    metadata_commands(), acl_commands(),
      urlauth_commands(), notify_commands(), multisearch_commands(), language_commands(), uid_batches_commands(),
  };
  return kFamilies;
}

const Command* find_command(std::string_view name) {
  static const auto kByName = [] {
    std::unordered_map<std::string_view, const Command*> all;
    for (const auto& family : command_families())
      for (const auto& command : family) all.emplace(command.name, &command);
    return all;
  }();
  const auto found = kByName.find(name);
  return found == kByName.end() ? nullptr : found->second;
}

Completion rejected(Error error) {
  if (error.kind == Error::Kind::syntax) return bad(std::move(error.text));
  return no("[CANNOT] " + error.text);
}

Completion failed(const Error& error, std::string_view what) {
  const auto code = [&]() -> std::string_view {
    if (error.system == EDQUOT) return "[OVERQUOTA] ";
    if (error.system == EEXIST) return "[ALREADYEXISTS] ";
    switch (error.kind) {
      case Error::Kind::not_found:
        return "[NONEXISTENT] ";
      case Error::Kind::refused:
        return error.system == EACCES || error.system == EPERM ? "[NOPERM] " : "[CANNOT] ";
      case Error::Kind::temporary:
        return "[UNAVAILABLE] ";
      case Error::Kind::syntax:
      case Error::Kind::permanent:
        break;
    }
    return "[CANNOT] ";
  }();
  // The error's own text names files; the client gets what it asked for and the class.
  return no(concat({code, what}));
}

namespace {

/// A word that no row of a command, FETCH item or search key stands for, and when it is announced.
struct CapabilityRow {
  std::string_view word;
  bool (*announced)(const Session&) = nullptr;
  bool before_login = false;
};

constexpr std::array kWords{
    CapabilityRow{"LITERAL+", nullptr, true},
    CapabilityRow{"SASL-IR", nullptr, true},
    CapabilityRow{"CHILDREN"},
    CapabilityRow{"INPROGRESS"},
    CapabilityRow{"LIST-EXTENDED"},
    CapabilityRow{"LIST-STATUS"},
    CapabilityRow{"LIST-MYRIGHTS"},
    CapabilityRow{"LIST-METADATA"},
    CapabilityRow{"SPECIAL-USE"},
    CapabilityRow{"CREATE-SPECIAL-USE"},
    CapabilityRow{"UIDPLUS"},
    CapabilityRow{"MULTIAPPEND"},
    CapabilityRow{"ESEARCH"},
    CapabilityRow{"ESORT"},
    CapabilityRow{"CONTEXT=SORT"},
    CapabilityRow{"SEARCH=FUZZY"},
    CapabilityRow{"FILTERS"},
    CapabilityRow{"THREAD=ORDEREDSUBJECT"},
    CapabilityRow{"METADATA-SERVER"},
    CapabilityRow{"UIDONLY"},
    CapabilityRow{"SEARCHRES"},
    CapabilityRow{"WITHIN"},
    CapabilityRow{"STATUS=SIZE"},
    CapabilityRow{"CONDSTORE"},
    CapabilityRow{"QRESYNC"},
    CapabilityRow{"PARTIAL"},
    CapabilityRow{"URL-PARTIAL"},
    CapabilityRow{"OBJECTID"},
    CapabilityRow{"UTF8=ACCEPT", [](const Session& session) { return !session.environment().settings.imap.utf8_only; },
                  true},
    CapabilityRow{"UTF8=ONLY", [](const Session& session) { return session.environment().settings.imap.utf8_only; },
                  true},
    CapabilityRow{"QUOTASET", [](const Session& session) { return is_administrator(session); }},
};

}  // namespace

std::string Session::capabilities() const {
  std::vector<std::string> words{"IMAP4rev1", "IMAP4rev2"};
  const bool in = logged_in();
  for (const auto& row : kWords)
    if ((in || row.before_login) && (row.announced == nullptr || row.announced(*this))) words.emplace_back(row.word);
  for (const auto& family : command_families())
    for (const auto& command : family)
      if (!command.capability.empty() && (in || command.announced_early || (command.states & kNotAuthenticated) != 0) &&
          std::ranges::find(words, command.capability) == words.end())
        words.emplace_back(command.capability);
  if (in) {
    for (const auto& word : item_capabilities()) words.emplace_back(word);
    if (const auto limit = environment_.settings.imap.message_limit; limit != 0)
      words.push_back("MESSAGELIMIT=" + decimal(limit));
    words.push_back("APPENDLIMIT=" + decimal(environment_.settings.imap.append_octets.count));
    std::erase_if(words, [&](const std::string& word) { return compressed_ && word == "COMPRESS=DEFLATE"; });
    return join(words, " ");
  }
  if (!channel_.encrypted && environment_.tls_available) words.emplace_back("STARTTLS");
  for (const auto& mechanism : sasl::announced_mechanisms(environment_.policy, channel_))
    words.push_back("AUTH=" + mechanism);
  if (!channel_.encrypted && !environment_.policy.allow_plaintext) words.emplace_back("LOGINDISABLED");
  return join(words, " ");
}

}  // namespace mail::imapd
