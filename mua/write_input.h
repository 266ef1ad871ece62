// Where the text of a message comes from: a file, standard input, or an editor.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "mua/compose.h"

namespace mail::mua {

/// A message that is written by hand or by a script may be this large; servers take less.
inline constexpr std::uint64_t kMostInput = 1U << 30U;

/// @param file  a path, "-" for standard input, or empty: an editor where standard input is a terminal, else standard
/// input
Result<std::string> read_body(const std::string& file, std::string_view initial);
/// $VISUAL, $EDITOR or vi on a private file that begins with `initial`; refused where the editor fails.
Result<std::string> edit(std::string_view initial);
/// Whether read_body() asks an editor.
bool uses_editor(const std::string& file);
/// Keeps what was written in an editor and could not be sent, as a new file beside the outbox, and says where.
void keep_written(std::string_view body, const std::string& outbox);
/// @param type  the media type, or empty: guessed from name and content
Result<Attachment> read_attachment(const std::string& file, const std::string& type);
/// "success,failure,delay", "never".
Result<spool::Notify> parse_notify(std::string_view text);

}  // namespace mail::mua
