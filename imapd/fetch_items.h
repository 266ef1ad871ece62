// What FETCH can tell: one row per item. A row says where its value comes from, so that a FETCH of flags never touches
// a file.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "imap/section.h"
#include "imapd/body_octets.h"
#include "store/mailbox.h"

namespace mail::imapd {

class Session;

enum class Source : std::uint8_t {
  row,      ///< In memory.
  size,     ///< Row, once complete_sizes() was called.
  summary,  ///< Finished text of the index.
  content,  ///< The message itself.
};

struct FetchInput {
  const Session& session;
  store::SequenceNumber number;
  const store::MessageRow& row;
  const store::Summary* summary = nullptr;
};

struct FetchItem {
  std::string_view name;
  Source source = Source::row;
  /// Appends name and value; null for items whose value is a body (see `body`).
  void (*append)(const FetchInput& input, const imap::FetchAttribute& attribute, std::string& out) = nullptr;
  enum class Body : std::uint8_t { none, section, binary, binary_size } body = Body::none;
  bool takes_section = false;  ///< Must have one; others must not.
  bool sets_seen = false;
  std::string_view capability = {};
  bool enables_condstore = false;
};

/// One item of a FETCH command.
struct Wanted {
  const FetchItem* item;
  imap::FetchAttribute attribute;
  std::string label;               ///< What stands before a body's value: `BODY[1]<0> `.
  bool from_header_cache = false;  ///< HEADER.FIELDS whose names are all in Summary::header_fields.
};

/// nullptr where there is no such item.
const FetchItem* find_fetch_item(std::string_view name);
/// Looks all attributes up. syntax for what is unknown or has no section where it needs one.
Result<std::vector<Wanted>> look_up(std::vector<imap::FetchAttribute> attributes);

}  // namespace mail::imapd
