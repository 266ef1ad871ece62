#include "directory/verdict_cache.h"

#include "base/id.h"
#include "base/strings.h"
#include "sasl/digest.h"

namespace mail::directory {

VerdictCache::VerdictCache(std::chrono::seconds right_for, std::chrono::seconds wrong_for, std::size_t most,
                           const Clock& clock)
    : secret_(random_octets(32)), right_for_(right_for), wrong_for_(wrong_for), most_(most / 2 + 1), clock_(clock) {}

std::string VerdictCache::key(std::string_view name, std::string_view stored, std::string_view password) const {
  static constexpr std::string_view kNul("\0", 1);
  const sasl::Secret input(concat({name, kNul, stored, kNul, password}));
  return sasl::hmac(EVP_sha256(), secret_, input.text());
}

std::optional<std::optional<User>> VerdictCache::find(const std::string& key) const {
  const std::scoped_lock lock(mutex_);
  for (const auto* generation : {&young_, &old_}) {
    const auto found = generation->find(key);
    if (found != generation->end() && found->second.until > clock_.steady()) return found->second.user;
  }
  return std::nullopt;
}

void VerdictCache::remember(const std::string& key, const std::optional<User>& user) {
  const auto time = user ? right_for_ : wrong_for_;
  if (time.count() == 0) return;
  const std::scoped_lock lock(mutex_);
  if (young_.size() >= most_) old_ = std::move(young_), young_.clear();
  young_.insert_or_assign(key, Entry{user, clock_.steady() + time});
}

}  // namespace mail::directory
