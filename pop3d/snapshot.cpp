#include "pop3d/snapshot.h"

#include <array>

namespace mail::pop3d {
namespace {

void append_hex8(std::string& to, std::uint32_t value) {
  std::array<char, 8> digits;
  for (int i = 7; i >= 0; --i, value >>= 4) digits[static_cast<std::size_t>(i)] = "0123456789abcdef"[value & 15];
  to.append(digits.data(), digits.size());
}

/// All messages of a view.
store::UidSet everything(const store::View& view) {
  if (view.exists() == 0) return {};
  return view.uids_of(store::SequenceNumber{1}, store::SequenceNumber{view.exists()});
}

}  // namespace

Snapshot::Snapshot(const store::View& view)
    : uid_validity_(view.uid_validity()), uid_next_(view.uid_next()), highest_modseq_(view.highest_modseq()) {
  messages_.reserve(view.exists());
  view.rows(everything(view), [this](store::SequenceNumber, const store::MessageRow& row) {
    messages_.push_back({row.uid, row.octets});
    total_octets_ += row.octets;
    return true;
  });
}

std::string Snapshot::unique_id(std::size_t index) const {
  std::string id;
  append_hex8(id, number(messages_[index].uid));
  append_hex8(id, number(uid_validity_));
  return id;
}

bool Snapshot::is_of(const store::View& view) const {
  return uid_validity_ == view.uid_validity() && uid_next_ == view.uid_next() &&
         highest_modseq_ == view.highest_modseq() && messages_.size() == view.exists();
}

std::shared_ptr<const Snapshot> SnapshotCache::of(const std::string& user, const store::View& view) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = snapshots_.find(user);
    if (found != snapshots_.end() && found->second->is_of(view)) return found->second;
  }
  auto made = std::make_shared<const Snapshot>(view);
  const std::lock_guard lock(mutex_);
  auto& place = snapshots_[user];
  if (place) messages_ -= place->count();
  place = made;
  messages_ += made->count();
  if (messages_ > kMessagesMost) {  // rare: all are forgotten, those in use live on in their sessions
    snapshots_.clear();
    messages_ = 0;
  }
  return made;
}

}  // namespace mail::pop3d
