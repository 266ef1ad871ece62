// What writer.cpp, done.cpp and journal.cpp share. Internal to spool/.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "spool/done.h"
#include "spool/journal.h"
#include "spool/segment.h"

namespace mail::spool {

inline constexpr std::string_view kWriterLock = "lock";
inline constexpr std::string_view kDoneLock = "done.lock";
inline constexpr std::string_view kDonePrefix = "done.";

/// Replays journal/PROGRAM, whose lock the caller holds.
Result<Recovered> recover_journal(const Spool& spool, std::string_view program, const Directory& journal);
void log_recovered(std::string_view program, const Recovered& recovered);

/// The state of a note_placed(); `recipient` is then boot_number().
inline constexpr auto kPlaced = static_cast<RecipientState>('p');
/// Another one each time the machine starts; 0 where the kernel does not tell.
std::uint32_t boot_number();
/// For tests that lose power: boot_number() from now on.
void pretend_boot(std::uint32_t number);

/// One line of a done journal.
struct DoneNote {
  MessageId id;
  Box box = Box::queue;
  std::uint32_t recipient = kWholeMessage;
  RecipientState state = RecipientState::delivered;
};
inline constexpr std::size_t kDoneLineOctets = 16 + 1 + 1 + 1 + 10 + 1 + 1 + 1 + 8 + 1;
std::string print(const DoneNote& note);
/// All whole lines at the start of a done file.
std::vector<DoneNote> parse_done(std::string_view octets);

/// What all programs' done journals say, by `ID` and box.
class DoneSet {
 public:
  static Result<DoneSet> load(const Spool& spool);
  void add(const DoneNote& note);
  /// Nothing where the message is not mentioned.
  const std::vector<DoneNote>* find(Box box, const MessageId& id) const;
  bool empty() const { return notes_.empty(); }

 private:
  std::unordered_map<std::string, std::vector<DoneNote>> notes_;
};

/// Names of segments that hold messages now, over all programs: `PROGRAM/segment.N`.
Result<std::vector<std::string>> live_segments(const Spool& spool);

}  // namespace mail::spool
