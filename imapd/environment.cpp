#include "directory/from_settings.h"
#include "imapd/session.h"
#include "store/from_settings.h"

namespace mail::imapd {

void prepare(Environment& environment) {
  const auto& settings = environment.settings;
  environment.after_login.line_octets = settings.imap.line_octets;
  environment.after_login.message_octets = settings.imap.append_octets;
  environment.after_login.skip_octets = std::max<std::uint64_t>(settings.imap.append_octets * 2, 1U << 20);
  // Who has not logged in needs room for a password or a token, and nothing else.
  environment.before_login = {
      .line_octets = settings.imap.line_octets, .literal_octets = 4096, .message_octets = 0, .skip_octets = 65536};
  // Only what the stored passwords allow: a client takes the strongest mechanism and does not try another one.
  environment.policy = environment.directory != nullptr ? directory::policy_from(settings, *environment.directory)
                                                        : directory::policy_from(settings, false);
  environment.shared = std::make_shared<store::SharedList>(settings.imap.shared_list);
  environment.notes = std::make_shared<store::ServerNotes>(settings.imap.server_metadata);
}

store::AccountLocation location_of(const directory::User& user, const config::Settings& settings) {
  return store::location_from(settings, user.name, user.mail, {user.quota_octets, user.quota_messages});
}

}  // namespace mail::imapd
