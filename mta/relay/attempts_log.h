// ID.log beside a spool file: what happened on failed attempts. One line each, `TIME RECIPIENT HOST STATUS REPLY`:
// seconds since 1970, the recipient's position, "-" where we said so ourselves, enhanced code, the reply's one line.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "smtp/reply.h"

namespace mail::relay {

struct AttemptNote {
  WallTime time;
  std::size_t recipient = 0;
  std::string host;  ///< Empty: ourselves.
  std::string status;
  std::string reply;
};
std::string print(const AttemptNote& note);
/// The last note of each recipient; lines that are none are passed over.
std::map<std::size_t, AttemptNote> last_notes(std::string_view log);

}  // namespace mail::relay
