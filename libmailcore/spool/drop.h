// spool/drop: any user may put a message in, nobody can read it. The owner of the file is the sender's identity, so no
// program is setuid.
#pragma once
#include <sys/stat.h>

#include <string>

#include "spool/envelope.h"
#include "spool/spool.h"

namespace mail::spool {

/// Drops a message: for mua and sendmail. Durable when it returns success.
/// @param envelope  id, arrival, reverse_path, parameters and recipients; who sends is seen from the file's owner.
/// @param content   header and body, CRLF
Status drop(const Spool& spool, const Envelope& envelope, std::string_view content);

struct Dropped {
  Envelope envelope;
  std::string content;
  uid_t owner = 0;
  std::uint32_t fingerprint = 0;  ///< Tells this file from a later one of the same name, in the done journal.
};
std::uint32_t drop_fingerprint(const struct stat& found);

/// Takes a name of drop for `mta relay`: a regular file with one link, opened without following links, whole, within
/// `most_octets`.
/// @return not_found where it is gone or still being written (names starting with '.'), refused where it is no such
/// file (the caller leaves it
///         alone and logs), syntax where it is damaged.
Result<Dropped> read_drop(const Spool& spool, const std::string& name, std::uint64_t most_octets);

}  // namespace mail::spool
