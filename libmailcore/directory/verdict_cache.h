// Remembers which passwords were right and wrong, as keyed hashes: the key is random and lives in this process only.
#pragma once
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "directory/directory.h"

namespace mail::directory {

class VerdictCache {
 public:
  VerdictCache(std::chrono::seconds right_for, std::chrono::seconds wrong_for, std::size_t most, const Clock& clock);
  /// What stands for (name, stored password, password given): changes with each of them, so that a changed users file
  /// needs no flush.
  std::string key(std::string_view name, std::string_view stored, std::string_view password) const;
  /// The user for a right password, an empty optional for a wrong one, nothing where it is not known.
  std::optional<std::optional<User>> find(const std::string& key) const;
  void remember(const std::string& key, const std::optional<User>& user);

 private:
  struct Entry {
    std::optional<User> user;
    SteadyTime until;
  };
  std::string secret_;
  std::chrono::seconds right_for_, wrong_for_;
  std::size_t most_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> young_,
      old_;  // two generations: the old one is dropped when the young one is full
};

}  // namespace mail::directory
