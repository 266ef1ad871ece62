// Names of message files: `BASE[,S=octets][,W=octets][:2,FLAGS]` (Maildir, Maildir++, Dovecot). maildir(5) says all.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/types.h"

namespace mail::store {

/// A file name taken apart. Views into the name.
struct FileName {
  std::string_view base;  ///< Before ":2,": the identity of the message, sizes included.
  Flags flags = Flags::none;
  KeywordBits keywords = 0;  ///< Letters a-z.
  bool odd =
      false;  ///< Has an info part that printing flags would not reproduce; it is kept as it is until flags change.
  std::optional<std::uint64_t> octets;       ///< S=
  std::optional<std::uint64_t> wire_octets;  ///< W=
};

/// Any name; one without info has no flags.
FileName parse_file_name(std::string_view name);
/// ":2,FLAGS" with letters in ASCII order, as every Maildir program expects.
void append_info(std::string& to, Flags flags, KeywordBits keywords);
/// The base without its `,S=…,W=…` where these are exactly the given sizes: they need not be kept twice in memory.
std::string_view without_sizes(std::string_view base, std::uint64_t octets, std::uint64_t wire_octets);
void append_sizes(std::string& to, std::uint64_t octets, std::uint64_t wire_octets);
/// Seconds and microseconds a name begins with ("1700000000.M123P4.host"), for the order of new messages; zero where
/// there are none.
std::pair<std::uint64_t, std::uint64_t> name_time(std::string_view base);
/// A new unique base without sizes. `id`, where not empty, is kept in it: `SECONDS.Mµs_R<id>.host`.
std::string make_base(std::string_view host, std::string_view id, std::int64_t microseconds_since_1970);
/// An id as it may stand in a name: anything but letters and digits is '-'.
std::string plain_id(std::string_view id);
/// The id that make_base put in, or empty.
std::string_view id_of(std::string_view base);
/// The base with a check of the file's content in it, `…C<6 characters>.host`: tells after a power cut whether the
/// content came to the disk with the name.
std::string with_check(std::string_view base, std::uint64_t content_hash);
/// What with_check() put in, or empty.
std::string_view check_of(std::string_view base);
std::string check_text(std::uint64_t content_hash);
/// The host that wrote a message with a check in its name.
std::string_view host_of(std::string_view base);
/// A host name as it may stand in a file name: '/' and ':' as \057 and \072, ',' too (it starts the sizes).
std::string safe_host(std::string_view host);

}  // namespace mail::store
