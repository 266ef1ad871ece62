// What FETCH asks of a message: attribute names with section-spec, partial and modifiers (RFC 9051 section 6.4.5,
// BINARY included).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imap/arguments.h"

namespace mail::imap {

struct Section {
  enum class Text { all, header, header_fields, header_fields_not, text, mime };
  std::vector<std::uint32_t> part;  ///< 4.1.2 is {4,1,2}; empty: the message itself.
  Text what = Text::all;
  std::vector<std::string> fields;  ///< As the client wrote them: the response repeats them.

  /// What stands between `[` and `]`; header names that are no atoms come back quoted.
  std::string text() const;
  bool operator==(const Section&) const = default;
};
/// Deeper parts than any message the parser of message/ admits.
inline constexpr std::size_t kMostPartLevels = 100;
inline constexpr std::size_t kMostHeaderFields = 500;

struct Partial {
  std::uint64_t offset = 0;
  std::uint64_t octets = 0;
  bool operator==(const Partial&) const = default;
};

/// One fetch-att, not yet looked up: its meaning is a row of imapd's table.
struct FetchAttribute {
  std::string name;  ///< Upper case: `FLAGS`, `BODY.PEEK`, `RFC822.SIZE`.
  std::optional<Section> section;
  std::optional<Partial> partial;
  std::vector<std::string> modifiers;  ///< `(LAZY)` of PREVIEW.
  bool operator==(const FetchAttribute&) const = default;
};
inline constexpr std::size_t kMostFetchAttributes = 200;

Result<Section> take_section(Arguments& arguments);  ///< Behind `[`, up to and with `]`.
Result<FetchAttribute> take_fetch_attribute(Arguments& arguments);
/// `FLAGS`, `(FLAGS UID)`, or a macro, as attributes. ALL, FAST and FULL are replaced by what they stand for.
Result<std::vector<FetchAttribute>> take_fetch_attributes(Arguments& arguments);

}  // namespace mail::imap
