// ~/.forward: where a user wants his mail. Anyone who could write the file could run programs as the user, so it is
// opened with care.
#pragma once
#include <optional>
#include <vector>

#include "base/result.h"
#include "directory/directory.h"

namespace mail::mda {

/// The targets of HOME/.forward (with a detail: HOME/.forward+detail first), or nothing where there is none or it is
/// empty.
/// @return refused where file or home belong to somebody else or others may write to them; the caller delivers to the
/// mailbox then. syntax where it cannot be
///         understood, temporary where it cannot be read now.
Result<std::optional<std::vector<directory::AliasTarget>>> read_forward(const directory::User& user,
                                                                        std::string_view detail);

}  // namespace mail::mda
