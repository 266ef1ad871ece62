// Whose mailbox a command works on, and becoming that user.
#pragma once
#include <optional>
#include <string>

#include "config/settings.h"
#include "directory/directory.h"
#include "mda/environment.h"

namespace mail::mda {

struct Addressed {
  directory::User user;
  std::string detail;
};
/// USER as given: a name, an address, or either with a detail.
Result<std::optional<Addressed>> find_addressed(Environment& environment, const std::string& name);
/// Whoever runs this.
std::string own_name();
/// As root: becomes the user for good. @return refused where that does not hold.
Status become(const directory::User& user, const config::Run& run);

}  // namespace mail::mda
