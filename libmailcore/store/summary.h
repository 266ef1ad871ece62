// What the index keeps of a message's content: one record per message, made in one pass over the file.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "message/tree.h"
#include "store/mailbox.h"

namespace mail::store {

/// Makes the record of a message. `raw` is the file (LF or CRLF). Never fails: any octets are some message.
/// @param tree  scratch, so that a hundred thousand messages share one tree's memory
std::string summarise(std::string_view raw, message::Tree& tree);
/// As summarise() of a header alone: SummaryDepth::header, with the size that is given; SummaryDepth::search_keys.
std::string summarise_header(std::string_view header, std::uint64_t wire_octets, message::Tree& tree);
std::string summarise_keys(std::string_view header, message::Tree& tree);
std::string format_summary(const Summary& summary);
/// The parts of a record, as views into it; nothing for what is none.
std::optional<Summary> parse_summary(std::string_view record);

}  // namespace mail::store
