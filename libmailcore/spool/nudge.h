// Orders that other programs leave for a running `mta relay`: files `nudge.*` in journal/relay, one order per line. An
// order is a hint: the spool files are the truth, and a relay that starts needs none.
//
//   look ID              its file has changed
//   flush [DESTINATION]  try everything now, or all of one domain (`@domain`: and those below it) or `host:port`
//   etrn DOMAIN          as flush, at the request of another host: not more than once a minute
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "spool/spool.h"

namespace mail::spool {

inline constexpr std::string_view kNudgeDirectory = "relay";  // below journal
inline constexpr std::string_view kNudgePrefix = "nudge.";
/// Largest nudge file; more orders make several files.
inline constexpr std::size_t kNudgeOctets = 1U << 20;

/// True while a process holds the relay's lock.
bool relay_runs(const Spool& spool);
/// Leaves the orders, none of which may hold a line end. Without a running relay nothing is written.
Status nudge(const Spool& spool, const std::vector<std::string>& orders);
/// Whether `flush WANTED` means mail for this domain: all, where nothing is named.
bool flush_names(std::string_view wanted, std::string_view domain);
/// Takes what was left, in no certain order of files; the files are gone then.
std::vector<std::string> take_nudges(const Spool& spool);

}  // namespace mail::spool
