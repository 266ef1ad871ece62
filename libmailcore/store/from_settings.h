// What the configuration means for mailboxes: the same for every program that opens them.
#pragma once
#include <string>
#include <string_view>

#include "config/settings.h"
#include "store/store.h"

namespace mail::store {

StoreSettings settings_from(const config::Settings& settings);
/// @param user     canonical name (directory::User::name)
/// @param maildir  directory::User::mail
/// @param quota    the user's own limits; where both are 0, the configuration's
AccountLocation location_from(const config::Settings& settings, std::string_view user, std::string_view maildir,
                              QuotaLimits quota);

}  // namespace mail::store
