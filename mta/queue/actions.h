// What `mta queue` does to messages. Files first, then a nudge to the relay, which is of no consequence when none runs.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "mta/queue/entries.h"

namespace mail::queue {

/// The spool opened for an operator: as root the process becomes the spool's owner, so that what it writes stays
/// readable for the daemons.
Result<spool::Spool> open_spool(const std::string& path);

/// Each returns how many messages it changed; what fails is told on standard error and the rest goes on.
std::size_t hold(const spool::Spool& spool, const std::vector<Entry>& entries);
std::size_t release(const spool::Spool& spool, const std::vector<Entry>& entries);
/// Due now, whatever its schedule says.
std::size_t retry(const spool::Spool& spool, const std::vector<Entry>& entries);
Result<std::size_t> remove(const spool::Spool& spool, const std::vector<Entry>& entries);
/// Sends the messages to another recipient instead of those still open.
Result<std::size_t> move(const spool::Spool& spool, const std::vector<Entry>& entries, const std::string& recipient);
/// All of one destination, or everything, is tried at once.
Status flush(const spool::Spool& spool, const std::string& destination);

}  // namespace mail::queue
