// The writer's journal: messages that were acknowledged and whose spool files are not synced yet. Layout and recovery:
// spool(5).
#pragma once
#include <string_view>

#include "spool/spool.h"

namespace mail::spool {

struct Recovered {
  std::size_t records = 0;   ///< Whole records found in live segments.
  std::size_t put_back = 0;  ///< Messages whose file was missing or torn, written anew and synced.
  std::size_t torn = 0;      ///< Segments that ended in a record that was never acknowledged.
  std::size_t swept = 0;     ///< Files removed from tmp.
};

/// Puts the messages of every program's live segments that have no `done` back into their boxes, synced, and frees the
/// segments; sweeps tmp. Journals in use by a running process are left alone. Every program calls this at its start;
/// doing it twice does nothing.
Result<Recovered> recover(const Spool& spool);

}  // namespace mail::spool
