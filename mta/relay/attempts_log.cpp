#include "mta/relay/attempts_log.h"

#include "base/strings.h"
#include "spool/envelope.h"

namespace mail::relay {

std::string print(const AttemptNote& note) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(note.time.time_since_epoch()).count();
  return concat({decimal(seconds), " ", decimal(note.recipient), " ", spool::quote_word(note.host), " ",
                 spool::quote_word(note.status), " ", printable(note.reply)});
}

std::map<std::size_t, AttemptNote> last_notes(std::string_view log) {
  std::map<std::size_t, AttemptNote> notes;
  for (auto line : split(log, '\n')) {
    AttemptNote note;
    std::string_view words[4];
    for (auto& word : words) std::tie(word, line) = split_once(line, ' ');
    const auto seconds = parse_decimal<std::int64_t>(words[0]);
    const auto recipient = parse_decimal<std::size_t>(words[1]);
    auto host = spool::unquote_word(words[2]), status = spool::unquote_word(words[3]);
    if (!seconds || !recipient || !host || !status) continue;
    note = {WallTime(std::chrono::seconds(*seconds)), *recipient, std::move(*host), std::move(*status),
            std::string(line)};
    notes[*recipient] = std::move(note);
  }
  return notes;
}

}  // namespace mail::relay
