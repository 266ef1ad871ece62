// APPENDs of several sessions at once are one change of the mailbox, with one flush (group commit).
#include "store/mailbox_core.h"

namespace mail::store {

Result<UidSet> Mailbox::append(Arrival& arrival) {
  arrivals_.run(arrival, [this](const std::vector<Arrival*>& group) { add_group(group); });
  return std::move(arrival.uids);
}

void Mailbox::add_group(const std::vector<Arrival*>& group) {
  std::vector<Incoming> all;
  FlushSet set;
  for (auto* one : group) {
    set.files.insert(set.files.end(), one->files.begin(), one->files.end());
    for (auto& message : one->incoming) all.push_back(std::move(message));
  }
  auto uids = add(all);
  auto next = all.begin();
  for (auto* one : group)
    for (auto& message : one->incoming) message = std::move(*next++);
  if (!uids && group.size() > 1) {  // what one of them met is not for the others
    for (auto* one : group) add_group({one});
    return;
  }
  if (uids)
    if (auto flushed = flush(set); !flushed) {
      withdraw(*uids);  // not durable, so it must not be there
      uids = tl::unexpected(std::move(flushed).error());
    }
  // UIDs are given in the order of the messages.
  std::uint32_t uid = uids && !uids->empty() ? number(uids->ranges().front().first) : 0;
  for (auto* one : group) {
    if (!uids) {
      one->uids = tl::unexpected(uids.error());
      continue;
    }
    UidSet own;
    for (std::size_t i = 0; i < one->incoming.size(); ++i) own.add(static_cast<Uid>(uid++));
    one->uids = std::move(own);
  }
}

}  // namespace mail::store
