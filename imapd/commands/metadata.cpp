// METADATA and METADATA-SERVER (RFC 5464): notes on mailboxes and on the account, kept by the store.
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imap/response.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

constexpr std::size_t kMostEntryName = 255;
constexpr std::size_t kMostEntries = 100;  ///< Of one mailbox.
constexpr std::size_t kMostValue = 64 * 1024;

/// Lower case, as entries are compared (section 3.2); nothing for what may not be a name.
std::optional<std::string> entry_name(std::string_view text) {
  auto name = to_lower(text);
  const bool known = name.starts_with("/private/") || name.starts_with("/shared/");
  const bool plain = std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7f && c != '*' && c != '%'; });
  if (!known || !plain || name.size() > kMostEntryName || name.ends_with('/') || name.find("//") != std::string::npos)
    return std::nullopt;
  return name;
}

struct GetOptions {
  std::uint64_t most = UINT64_MAX;
  int depth = 0;  ///< 0, 1, or -1: infinity
};

Result<GetOptions> take_options(imap::Arguments& arguments) {
  GetOptions options;
  MAIL_CHECK(arguments.open());
  do {
    MAIL_TRY(word, arguments.atom());
    MAIL_CHECK(arguments.space());
    if (iequals(word, "MAXSIZE")) {
      MAIL_TRY(most, arguments.number());
      options.most = most;
    } else if (iequals(word, "DEPTH")) {
      MAIL_TRY(depth, arguments.atom());
      if (!iequals(depth, "0") && !iequals(depth, "1") && !iequals(depth, "infinity"))
        return fail(Error::Kind::syntax, "Invalid DEPTH");
      options.depth = depth == "0" ? 0 : depth == "1" ? 1 : -1;
    } else {
      return fail(Error::Kind::syntax, "Unknown GETMETADATA option");
    }
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return options;
}

Result<std::vector<std::string>> take_entries(imap::Arguments& arguments) {
  std::vector<std::string> entries;
  const bool list = arguments.take('(');
  do {
    MAIL_TRY(text, arguments.astring());
    auto name = entry_name(text);
    if (!name || entries.size() == kMostEntries) return fail(Error::Kind::syntax, "Invalid entry name");
    entries.push_back(std::move(*name));
  } while (list && arguments.take(' '));
  if (list) MAIL_CHECK(arguments.close());
  return entries;
}

bool is_asked_for(std::string_view entry, const std::vector<std::string>& asked, int depth) {
  return std::ranges::any_of(asked, [&](const std::string& name) {
    if (entry == name) return true;
    if (depth == 0 || entry.size() <= name.size() || !entry.starts_with(name) || entry[name.size()] != '/')
      return false;
    return depth < 0 || entry.find('/', name.size() + 1) == std::string_view::npos;
  });
}

Completion get_metadata(Session& session, imap::Arguments& arguments) {
  GetOptions options;
  if (arguments.peek() == '(') {
    IMAPD_TRY(given, take_options(arguments));
    options = given;
    IMAPD_CHECK(arguments.space());
  }
  IMAPD_TRY(mailbox, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_TRY(asked, take_entries(arguments));
  IMAPD_CHECK(arguments.end());
  const auto values = session.account().metadata(mailbox);
  if (!values) return failed(values.error(), "No such mailbox");
  std::uint64_t longest = 0;
  bool first = true;
  auto& out = session.out();
  for (const auto& [entry, value] : *values) {
    if (!is_asked_for(entry, asked, options.depth)) continue;
    if (value.size() > options.most) {
      longest = std::max<std::uint64_t>(longest, value.size());
      continue;
    }
    if (first) {
      out += "* METADATA ";
      if (mailbox.empty())
        out += "\"\"";
      else
        session.append_mailbox(mailbox);
      out += " (";
    } else {
      out += ' ';
    }
    first = false;
    imap::append_astring(out, entry);
    out += ' ';
    imap::append_string(out, value, session.utf8());
  }
  if (!first) out += ")\r\n";
  if (longest > 0) return ok("[METADATA LONGENTRIES " + decimal(longest) + "] GETMETADATA completed");
  return ok("GETMETADATA completed");
}

Completion set_metadata(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(mailbox, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_CHECK(arguments.open());
  std::vector<std::pair<std::string, std::optional<std::string>>> changes;
  do {
    IMAPD_TRY(text, arguments.astring());
    auto name = entry_name(text);
    if (!name) return bad("Invalid entry name");
    IMAPD_CHECK(arguments.space());
    std::optional<std::string> value;
    if (arguments.peek() == '~') {
      IMAPD_TRY(octets, arguments.literal());
      value = std::string(octets);
    } else {
      IMAPD_TRY(given, arguments.nstring());
      value = std::move(given);
    }
    if (value && value->size() > kMostValue)
      return no("[METADATA MAXSIZE " + decimal(kMostValue) + "] Value is too big");
    changes.emplace_back(std::move(*name), std::move(value));
  } while (arguments.take(' '));
  IMAPD_CHECK(arguments.close());
  IMAPD_CHECK(arguments.end());
  const auto now = session.account().metadata(mailbox);
  if (!now) return failed(now.error(), "No such mailbox");
  auto entries = now->size();
  for (const auto& [entry, value] : changes) entries += value && !now->contains(entry) ? 1 : 0;
  if (entries > kMostEntries) return no("[METADATA TOOMANY] Too many entries");
  for (auto& [entry, value] : changes)
    if (auto done = session.account().set_metadata(mailbox, entry, std::move(value)); !done)
      return failed(done.error(), "Not stored");
  return ok("SETMETADATA completed");
}

constexpr std::array kMetadataCommands{
    Command{.name = "GETMETADATA", .run = get_metadata, .capability = "METADATA", .disk = true},
    Command{.name = "SETMETADATA", .run = set_metadata, .disk = true},
};

}  // namespace

std::span<const Command> metadata_commands() { return kMetadataCommands; }

}  // namespace mail::imapd
