#include "imapd/server_entries.h"

#include <algorithm>

#include "base/strings.h"
#include "imapd/access.h"

namespace mail::imapd {

namespace {

constexpr std::string_view kShared = "/shared/", kAdmin = "/shared/admin";

void apply(store::Notes& notes, const std::string& entry, const std::optional<std::string>& value) {
  if (value)
    notes[entry] = *value;
  else
    notes.erase(entry);
}

}  // namespace

Result<store::Notes> server_entries(Session& session) {
  const auto& environment = session.environment();
  MAIL_TRY(own, session.account().metadata(""));
  std::erase_if(own, [](const auto& entry) { return entry.first.starts_with(kShared); });
  MAIL_TRY(shared, environment.notes->all());
  own.merge(shared);
  const auto& postmaster = environment.settings.host.postmaster;
  const bool whole = postmaster.find('@') != std::string::npos;
  own[std::string(kAdmin)] =
      concat({"mailto:", postmaster, whole ? "" : "@", whole ? "" : config::host_name(environment.settings)});
  return std::move(own);
}

std::optional<Completion> set_server_entries(
    Session& session, const std::vector<std::pair<std::string, std::optional<std::string>>>& changes) {
  const auto is_shared = [](const auto& change) { return change.first.starts_with(kShared); };
  const bool shared = std::ranges::any_of(changes, is_shared);
  if (shared && !is_administrator(session)) return no("[NOPERM] Entries of the whole server are its administrators'");
  if (std::ranges::any_of(changes, [](const auto& change) { return change.first == kAdmin; }))
    return no("[CANNOT] /shared/admin is the postmaster's address");
  auto after = server_entries(session);
  if (!after) return failed(after.error(), "Not known");
  for (const auto& [entry, value] : changes) apply(*after, entry, value);
  if (after->size() > kMostMetadataEntries) return no("[METADATA TOOMANY] Too many entries");
  if (shared) {
    const auto done = session.environment().notes->change([&](store::Notes& notes) {
      for (const auto& change : changes)
        if (is_shared(change)) apply(notes, change.first, change.second);
      return true;
    });
    if (!done) return failed(done.error(), "Not stored");
  }
  for (const auto& [entry, value] : changes)
    if (!entry.starts_with(kShared))
      if (auto done = session.account().set_metadata("", entry, value); !done)
        return failed(done.error(), "Not stored");
  return std::nullopt;
}

}  // namespace mail::imapd
