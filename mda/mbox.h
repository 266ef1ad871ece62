// Appends to an mbox file, locked against every program that locks mailboxes: fcntl(2) and a dotlock.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "base/disk.h"
#include "base/result.h"

namespace mail::mda {

struct MboxOptions {
  std::chrono::milliseconds lock_time{10000};  ///< Wait for others' locks this long; then temporary.
  std::chrono::seconds stale_lock{300};        ///< A dotlock older than this belongs to nobody any more.
  mode_t mode = 0600;                          ///< Of a new file.
};
/// Appends `entry` (mbox_entry()), durably when it returns success. A failure leaves the file as it was.
/// @return refused for what is no regular file with one link, temporary where it is locked or the disk is full.
Status append_mbox(Disk& disk, const std::string& path, std::string_view entry, const MboxOptions& options = {});

}  // namespace mail::mda
