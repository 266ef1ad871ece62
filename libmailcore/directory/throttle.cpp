#include "directory/throttle.h"

#include <algorithm>

#include "base/ip_address.h"
#include "base/strings.h"

namespace mail::directory {

Throttle::Throttle(Options options, const Clock& clock) : options_(options), clock_(clock) {}

std::string Throttle::prefix(std::string_view address) const {
  const auto ip = IpAddress::parse(address);
  if (!ip) return std::string(address);
  const auto bits = static_cast<unsigned>(ip->is_v4() ? options_.ipv4_prefix : options_.ipv6_prefix);
  const bool whole = bits >= (ip->is_v4() ? 32U : 128U);
  auto text = whole ? ip->to_string() : ip->masked(bits).to_string();
  return whole ? text : concat({text, "/", decimal(bits)});
}

const Throttle::Entry* Throttle::find(const Table& table, std::string_view key) const {
  const auto found = table.by_key.find(key);
  if (found == table.by_key.end()) return nullptr;
  const auto& entry = *found->second;
  return clock_.steady() - entry.last > options_.forget_after && entry.locked_until <= clock_.steady() ? nullptr
                                                                                                       : &entry;
}

Throttle::Entry& Throttle::touch(Table& table, std::string_view key) {
  const auto found = table.by_key.find(key);
  if (found != table.by_key.end()) {
    table.recent.splice(table.recent.begin(), table.recent, found->second);
    auto& entry = table.recent.front();
    if (clock_.steady() - entry.last > options_.forget_after) entry.failures = 0;
    entry.last = clock_.steady();
    return entry;
  }
  while (table.recent.size() >= std::max<std::size_t>(options_.most_entries, 1)) {
    table.by_key.erase(table.recent.back().key);
    table.recent.pop_back();
  }
  table.recent.push_front({std::string(key), 0, clock_.steady(), {}});
  table.by_key.emplace(table.recent.front().key, table.recent.begin());
  return table.recent.front();
}

void Throttle::erase(Table& table, std::string_view key) {
  const auto found = table.by_key.find(key);
  if (found == table.by_key.end()) return;
  const auto entry = found->second;
  table.by_key.erase(found);
  table.recent.erase(entry);
}

void Throttle::count(Table& table, std::string_view key, int most) {
  auto& entry = touch(table, key);
  ++entry.failures;
  if (most > 0 && entry.failures >= most) entry.locked_until = clock_.steady() + options_.lock_out;
}

namespace {
std::string known_key(std::string_view prefix, std::string_view account) {
  static constexpr std::string_view kNul("\0", 1);
  return concat({prefix, kNul, account});
}
}  // namespace

Throttle::Verdict Throttle::ask(std::string_view address, std::string_view account) const {
  const auto from = prefix(address);
  const auto name = to_lower(account);
  const std::scoped_lock lock(mutex_);
  const auto now = clock_.steady();
  const auto* by_address = find(addresses_, from);
  const auto* by_account = find(accounts_, name);
  // An address that has logged in to the account before is not locked out of it by what others do elsewhere.
  if (by_account != nullptr && find(known_, known_key(from, name)) != nullptr) by_account = nullptr;
  Verdict verdict;
  int failures = 0;
  for (const auto* entry : {by_address, by_account}) {
    if (entry == nullptr) continue;
    verdict.locked = verdict.locked || entry->locked_until > now;
    failures = std::max(failures, entry->failures);
  }
  const int counted = failures - options_.free_failures;
  if (verdict.locked)
    verdict.delay = options_.most_delay;
  else if (counted >= 0)
    verdict.delay =
        std::min(options_.most_delay, std::chrono::milliseconds(options_.first_delay.count() << std::min(counted, 20)));
  return verdict;
}

void Throttle::failed(std::string_view address, std::string_view account) {
  const auto from = prefix(address);
  const auto name = to_lower(account);
  const std::scoped_lock lock(mutex_);
  if (!from.empty()) count(addresses_, from, options_.address_failures);
  if (!name.empty()) count(accounts_, name, options_.account_failures);
}

void Throttle::succeeded(std::string_view address, std::string_view account) {
  const auto from = prefix(address);
  const auto name = to_lower(account);
  const std::scoped_lock lock(mutex_);
  // The address keeps its failures but for this account's sake: one right guess must not buy more guesses at others.
  erase(accounts_, name);
  touch(known_, known_key(from, name));
  if (const auto found = addresses_.by_key.find(from); found != addresses_.by_key.end()) {
    auto& entry = *found->second;
    if (--entry.failures <= 0) erase(addresses_, from);
  }
}

std::size_t Throttle::entries() const {
  const std::scoped_lock lock(mutex_);
  return addresses_.recent.size() + accounts_.recent.size() + known_.recent.size();
}

}  // namespace mail::directory
