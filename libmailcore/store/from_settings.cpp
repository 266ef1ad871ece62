#include "store/from_settings.h"

#include "base/strings.h"

namespace mail::store {

StoreSettings settings_from(const config::Settings& settings) {
  StoreSettings store;
  store.append_octets = settings.imap.append_octets.count;
  store.host = config::host_name(settings);
  return store;
}

AccountLocation location_from(const config::Settings& settings, std::string_view user, std::string_view maildir,
                              QuotaLimits quota) {
  AccountLocation location{
      .user = std::string(user), .maildir = std::string(maildir), .index_directory = {}, .quota = quota};
  // A user's name may come from a foreign users file: it is one path component here, whatever it holds.
  if (!settings.mail.index_root.empty()) {
    std::string component;
    for (const char c : user) {
      const auto octet = static_cast<unsigned char>(c);
      const bool plain =
          is_alnum(octet) || c == '@' || c == '-' || c == '_' || c == '+' || (c == '.' && !component.empty());
      component += plain ? std::string(1, c) : concat({"%", to_hex(std::string_view(&c, 1))});
    }
    location.index_directory = concat({settings.mail.index_root, "/", component});
  }
  if (quota == QuotaLimits{}) location.quota.octets = settings.mail.quota.count;
  return location;
}

}  // namespace mail::store
