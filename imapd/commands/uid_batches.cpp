// UIDBATCHES (RFC 10022): the selected mailbox as ranges of UIDs with equally many messages in each, the newest first.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/message_limit.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

constexpr std::uint32_t kLeastBatch = 500;
/// Ranges in one answer.
constexpr std::uint32_t kMostBatches = 10000;

/// The ranges of the batches first to last, counted from 1: from the UID below the batch before down to the batch's
/// lowest; the last one goes down to 1, so that together they cover all UIDs.
std::string batches(const store::View& view, std::uint32_t size, std::uint32_t first, std::uint32_t last) {
  std::string out;
  const std::uint32_t messages = view.exists();
  const auto uid = [&](std::uint32_t number) { return store::number(*view.uid(store::SequenceNumber{number})); };
  for (auto batch = first; batch <= last && std::uint64_t{batch - 1} * size < messages; ++batch) {
    const auto above = (batch - 1) * size;  // messages that are in batches before
    const bool ends = messages - above <= size;
    const auto high = above == 0 ? uid(messages) : uid(messages - above + 1) - 1;
    const auto low = ends ? 1 : uid(messages - above - size + 1);
    out += concat({out.empty() ? " " : ",", decimal(high), ":", decimal(low)});
  }
  return out;
}

/// UIDBATCHES size [first:last]
Completion uid_batches(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(size, arguments.nz_number());
  std::optional<std::pair<std::uint32_t, std::uint32_t>> range;
  if (arguments.take(' ')) {
    IMAPD_TRY(first, arguments.nz_number());
    if (!arguments.take(':')) return bad("Range expected");
    IMAPD_TRY(last, arguments.nz_number());
    if (last < first) return bad("[CLIENTBUG] Range is the wrong way round");
    range.emplace(first, last);
  }
  IMAPD_CHECK(arguments.end());
  if (size < kLeastBatch) return no("[TOOFEW] A batch has at least " + decimal(kLeastBatch) + " messages");
  if (const auto limit = session.environment().settings.imap.message_limit; limit != 0 && size > limit)
    size = static_cast<std::uint32_t>(limit);
  if (!range) range.emplace(1, UINT32_MAX);
  const auto batches_here = session.view().exists() / size + 1;
  if (range->second != UINT32_MAX && range->second - range->first >= kMostBatches)
    return no("[TOOMANY] At most " + decimal(kMostBatches) + " batches in one answer");
  if (range->second == UINT32_MAX)
    range->second = static_cast<std::uint32_t>(std::min<std::uint64_t>(batches_here, kMostBatches));
  session.untagged(
      concat({"UIDBATCHES (TAG \"", session.tag(), "\")", batches(session.view(), size, range->first, range->second)}));
  return ok("UIDBATCHES completed");
}

constexpr std::array kUidBatchesCommands{
    Command{.name = "UIDBATCHES",
            .run = uid_batches,
            .states = kSelected,
            .capability = "UIDBATCHES",
            .keeps_numbers = true},
};

}  // namespace

std::span<const Command> uid_batches_commands() { return kUidBatchesCommands; }

}  // namespace mail::imapd
