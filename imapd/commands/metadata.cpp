// METADATA and METADATA-SERVER (RFC 5464): notes on mailboxes and on the account, kept by the store.
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imap/response.h"
#include "imapd/commands/families.h"
#include "imapd/commands/list_metadata.h"
#include "imapd/search_evaluator.h"
#include "imapd/server_entries.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

constexpr std::size_t kMostEntryName = 255;
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

/// `(MAXSIZE 1024 DEPTH 1)`
Status take_options(imap::Arguments& arguments, MetadataRequest& options) {
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
  return arguments.close();
}

Result<std::vector<std::string>> take_entries(imap::Arguments& arguments) {
  std::vector<std::string> entries;
  const bool list = arguments.take('(');
  do {
    MAIL_TRY(text, arguments.astring());
    // With DEPTH the roots may be asked for too: they hold nothing themselves.
    const bool is_root = iequals(text, "/private") || iequals(text, "/shared");
    auto name = is_root ? std::optional(to_lower(text)) : entry_name(text);
    if (!name || entries.size() == kMostMetadataEntries) return fail(Error::Kind::syntax, "Invalid entry name");
    entries.push_back(std::move(*name));
  } while (list && arguments.take(' '));
  if (list) MAIL_CHECK(arguments.close());
  return entries;
}

bool is_asked_for(std::string_view entry, const MetadataRequest& request) {
  return std::ranges::any_of(request.entries, [&](const std::string& name) {
    if (entry == name) return true;
    if (request.depth == 0 || entry.size() <= name.size() || !entry.starts_with(name) || entry[name.size()] != '/')
      return false;
    return request.depth < 0 || entry.find('/', name.size() + 1) == std::string_view::npos;
  });
}

/// The mailbox's entries that the user may see: private ones are its owner's (RFC 5464 section 3.3).
Result<std::map<std::string, std::string>> visible_entries(const Place& place) {
  MAIL_TRY(values, place.account->metadata(place.name));
  if (place.foreign()) std::erase_if(values, [](const auto& entry) { return entry.first.starts_with("/private/"); });
  return std::move(values);
}

/// The mailbox, with the right to look it up and one more (section 3.3).
std::optional<Completion> annotated(Session& session, const std::string& mailbox, std::string_view rights,
                                    Place& place) {
  if (auto refused = resolve(session, mailbox, rights, place)) return refused;
  if (place.rights.find_first_of("rswikxtea") == std::string::npos) return no_right();
  return std::nullopt;
}

class Response {
 public:
  Response(Session& session, std::string_view mailbox) : session_(session), mailbox_(mailbox) {}
  void add(std::string_view entry, const std::optional<std::string_view>& value) {
    auto& out = session_.out();
    if (first_) {
      out += "* METADATA ";
      if (mailbox_.empty())
        out += "\"\"";
      else
        session_.append_mailbox(mailbox_);
      out += " (";
    } else {
      out += ' ';
    }
    first_ = false;
    imap::append_astring(out, entry);
    out += ' ';
    if (value && value->find('\0') != std::string::npos) out += '~';  // value = nstring / literal8 (RFC 5464 section 5)
    if (value)
      imap::append_string(out, *value, session_.utf8());
    else
      out += "NIL";
  }
  void finish() {
    if (!first_) session_.out() += ")\r\n";
  }

 private:
  Session& session_;
  std::string_view mailbox_;
  bool first_ = true;
};

Completion get_metadata(Session& session, imap::Arguments& arguments) {
  MetadataRequest request;
  if (arguments.peek() == '(') {
    IMAPD_CHECK(take_options(arguments, request));
    IMAPD_CHECK(arguments.space());
  }
  IMAPD_TRY(mailbox, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  // The grammar has the options before the mailbox (section 5), the examples of sections 4.2.1 and 4.2.2 behind it.
  if (arguments.peek() == '(' && is_alpha(static_cast<unsigned char>(arguments.cursor().peek(1)))) {
    IMAPD_CHECK(take_options(arguments, request));
    IMAPD_CHECK(arguments.space());
  }
  IMAPD_TRY(asked, take_entries(arguments));
  request.entries = std::move(asked);
  IMAPD_CHECK(arguments.end());
  Place place;
  if (!mailbox.empty())
    if (auto refused = annotated(session, mailbox, "l", place)) return std::move(*refused);
  const auto values = mailbox.empty() ? server_entries(session) : visible_entries(place);
  if (!values) return failed(values.error(), "No such mailbox");
  std::uint64_t longest = 0;
  Response response(session, mailbox);
  for (const auto& [entry, value] : *values) {
    if (!is_asked_for(entry, request)) continue;
    if (value.size() > request.most)
      longest = std::max<std::uint64_t>(longest, value.size());
    else
      response.add(entry, value);
  }
  response.finish();
  if (longest > 0) return ok("[METADATA LONGENTRIES " + decimal(longest) + "] GETMETADATA completed");
  return ok("GETMETADATA completed");
}

using Changes = std::vector<std::pair<std::string, std::optional<std::string>>>;

/// The refusal, or nothing.
std::optional<Completion> store_entries(const Place& place, Changes changes) {
  const auto now = place.account->metadata(place.name);
  if (!now) return failed(now.error(), "No such mailbox");
  auto entries = now->size();
  for (const auto& [entry, value] : changes) {
    entries += value && !now->contains(entry) ? 1 : 0;
    if (place.foreign() && entry.starts_with("/private/"))
      return no("[METADATA NOPRIVATE] Private entries are its owner's");
  }
  if (entries > kMostMetadataEntries) return no("[METADATA TOOMANY] Too many entries");
  for (auto& [entry, value] : changes)
    if (auto done = place.account->set_metadata(place.name, entry, std::move(value)); !done)
      return failed(done.error(), "Not stored");
  return std::nullopt;
}

Completion set_metadata(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(mailbox, session.mailbox_argument(arguments));
  IMAPD_CHECK(arguments.space());
  IMAPD_CHECK(arguments.open());
  Changes changes;
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
    const bool filter = mailbox.empty() &&
                        (name->starts_with("/private/filters/values/") || name->starts_with("/shared/filters/values/"));
    if (filter && value && !parse_filter(*value))
      return no("[CANNOT] The value of a filter must be search keys (RFC 5466)");
    changes.emplace_back(std::move(*name), std::move(value));
  } while (arguments.take(' '));
  IMAPD_CHECK(arguments.close());
  IMAPD_CHECK(arguments.end());
  const bool shared = std::ranges::any_of(changes, [](const auto& c) { return c.first.starts_with("/shared/"); });
  if (mailbox.empty()) {
    if (auto refused = set_server_entries(session, changes)) return std::move(*refused);
    return ok("SETMETADATA completed");
  }
  Place place;
  if (auto refused = annotated(session, mailbox, shared ? "lw" : "l", place)) return std::move(*refused);
  if (auto refused = store_entries(place, std::move(changes))) return std::move(*refused);
  return ok("SETMETADATA completed");
}

constexpr std::array kMetadataCommands{
    Command{.name = "GETMETADATA", .run = get_metadata, .capability = "METADATA", .disk = true},
    Command{.name = "SETMETADATA", .run = set_metadata, .disk = true},
};

}  // namespace

Result<MetadataRequest> take_list_metadata(imap::Arguments& arguments) {
  MetadataRequest request;
  MAIL_CHECK(arguments.open());
  if (arguments.peek() == '(') {
    MAIL_CHECK(take_options(arguments, request));
    MAIL_CHECK(arguments.space());
  }
  do {
    MAIL_TRY(text, arguments.astring());
    auto name = entry_name(text);
    if (!name || request.entries.size() == kMostMetadataEntries) return fail(Error::Kind::syntax, "Invalid entry name");
    request.entries.push_back(std::move(*name));
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return request;
}

void send_list_metadata(Session& session, std::string_view mailbox, const MetadataRequest& request) {
  Place place;
  if (annotated(session, std::string(mailbox), "l", place)) return;
  const auto values = visible_entries(place);
  if (!values) return;
  Response response(session, mailbox);
  for (const auto& name : request.entries)
    if (!values->contains(name)) response.add(name, std::nullopt);
  for (const auto& [entry, value] : *values)
    if (is_asked_for(entry, request) && value.size() <= request.most) response.add(entry, value);
  response.finish();
}

std::span<const Command> metadata_commands() { return kMetadataCommands; }

}  // namespace mail::imapd
