#include "imapd/commands/resync.h"

#include "imapd/session.h"

namespace mail::imapd {

store::UidSet to_uid_set(const imap::NumberSet& numbers) {
  std::vector<store::UidRange> ranges;
  ranges.reserve(numbers.ranges().size());
  for (const auto& range : numbers.ranges()) ranges.push_back({store::Uid{range.first}, store::Uid{range.last}});
  return store::UidSet(std::move(ranges));
}

Result<Resync> take_resync(imap::Arguments& arguments) {
  Resync resync;
  MAIL_CHECK(arguments.open());
  MAIL_TRY(uid_validity, arguments.nz_number());
  resync.uid_validity = store::UidValidity{uid_validity};
  MAIL_CHECK(arguments.space());
  MAIL_TRY(modseq, arguments.number64());
  resync.modseq = store::ModSeq{modseq};
  if (arguments.take(' ') && arguments.peek() != '(') {
    MAIL_TRY(known, arguments.sequence_set());
    resync.known_uids = std::move(known);
    arguments.take(' ');
  }
  if (arguments.take('(')) {
    MAIL_TRY(numbers, arguments.sequence_set());
    MAIL_CHECK(arguments.space());
    MAIL_TRY(uids, arguments.sequence_set());
    resync.match_numbers = std::move(numbers);
    resync.match_uids = std::move(uids);
    MAIL_CHECK(arguments.close());
  }
  MAIL_CHECK(arguments.close());
  return resync;
}

namespace {

/// The highest UID up to which the client's sequence numbers are still right (RFC 7162 section 3.2.5.2): nothing below
/// it vanished.
store::Uid matched_up_to(const store::View& view, const Resync& resync) {
  if (!resync.match_numbers) return {};
  const auto numbers = resync.match_numbers->resolve(view.exists());
  const auto uids = resync.match_uids->resolve(store::number(view.last_uid()));
  if (numbers.count() != uids.count()) return {};
  std::vector<std::uint32_t> known;
  // Checked from the end it would be quicker, but the lists that clients send have some ten members.
  uids.for_each([&](std::uint32_t uid) {
    if (known.size() < 10'000) known.push_back(uid);
  });
  std::size_t index = 0;
  store::Uid matched{};
  bool matches = true;
  numbers.for_each([&](std::uint32_t number) {
    if (!matches || index >= known.size()) return;
    const auto uid = store::Uid{known[index++]};
    matches = view.uid(store::SequenceNumber{number}) == uid;
    if (matches) matched = uid;
  });
  return matched;
}

}  // namespace

void answer_resync(Session& session, const Resync& resync) {
  const auto& view = session.view();
  if (view.uid_validity() != resync.uid_validity) return;
  store::UidSet within;
  if (resync.known_uids) within = to_uid_set(resync.known_uids->resolve(store::number(view.uid_next()) - 1));
  auto vanished = view.vanished_since(resync.modseq, within);
  if (const auto matched = matched_up_to(view, resync); store::number(matched) > 0) {
    std::vector<store::UidRange> later;
    for (auto range : vanished.ranges()) {
      if (range.last <= matched) continue;
      if (range.first <= matched) range.first = store::Uid{store::number(matched) + 1};
      later.push_back(range);
    }
    vanished = store::UidSet(std::move(later));
  }
  if (!vanished.empty()) session.untagged("VANISHED (EARLIER) " + vanished.text());
  view.changed_since(resync.modseq).for_each([&](store::Uid uid) {
    if (!resync.known_uids || within.contains(uid)) session.send_flags_of(uid, true, true);
  });
}

}  // namespace mail::imapd
