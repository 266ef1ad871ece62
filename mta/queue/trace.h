// `mta trace`: the whole life of a message, from the log that all programs write and from the spool.
#pragma once
#include <istream>
#include <set>
#include <string>
#include <vector>

#include "mta/queue/destinations.h"
#include "spool/spool.h"

namespace mail::queue {

struct Trace {
  std::set<std::string> ids;       ///< The message and what became of it: hand-overs, reports, drops.
  std::vector<std::string> lines;  ///< Of the log, in its order.
};
/// @param wanted  an id, or an address as sender or recipient
/// The log is read from its start; lines that name a known id belong to the message, and ids they lead to (as=,
/// report=, drop=, queued=) belong to it as well.
Trace trace(std::istream& log, std::string_view wanted);
/// Where each of the ids is in the spool now, and what it waits for.
std::string where_now(const spool::Spool& spool, const std::set<std::string>& ids, Destinations& routes);

}  // namespace mail::queue
