// The sort and search keys of a mailbox's messages in memory: a part of each summary, one after the other.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/mailbox.h"

namespace mail::store {

class HotKeys {
 public:
  std::mutex& mutex() { return mutex_; }
  /// Forgets all where the rows are others now.
  void use_epoch(std::uint64_t epoch);
  /// The keys of a message, views into this object until the next add(). Cheap for ascending UIDs.
  std::optional<Summary> find(Uid uid);
  void add(Uid uid, const Summary& summary);

 private:
  std::mutex mutex_;
  std::uint64_t epoch_ = 0;
  std::vector<Uid> uids_;  // ascending
  std::vector<std::size_t> at_;
  std::string octets_;
  std::size_t last_ = 0;  // where find() was
};

}  // namespace mail::store
