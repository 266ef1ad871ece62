#include "base/id.h"

#include <sys/random.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace mail {

namespace {
constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

class SystemClock final : public Clock {
 public:
  WallTime now() const override {
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  }
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
};

std::uint32_t process_salt() {
  // Asked anew after a fork: parent and child must not share it.
  static std::atomic<std::uint64_t> salt_of_pid{0};
  const auto pid = static_cast<std::uint32_t>(::getpid());
  auto known = salt_of_pid.load(std::memory_order_relaxed);
  if (known >> 32 != pid) {
    std::uint32_t salt = 0;
    if (::getrandom(&salt, sizeof salt, 0) != sizeof salt) std::abort();
    std::uint64_t fresh = std::uint64_t{pid} << 32 | salt;
    if (salt_of_pid.compare_exchange_strong(known, fresh)) known = fresh;
  }
  return static_cast<std::uint32_t>(known);
}
}  // namespace

Clock& Clock::system() {
  static SystemClock clock;
  return clock;
}

std::optional<MessageId> MessageId::parse(std::string_view text) {
  if (text.size() != kLength) return std::nullopt;
  for (const char c : text)
    if (kAlphabet.find(c) == std::string_view::npos) return std::nullopt;
  MessageId id;
  id.text_ = text;
  return id;
}

MessageId MessageId::generate(const Clock& clock) {
  // 50 bits of microseconds (35 years from 2020 until it wraps), never the same twice in a process, then 30 bits of
  // salt.
  static std::atomic<std::uint64_t> last{0};
  constexpr std::uint64_t kEpoch = 1577836800ULL * 1000000;
  auto stamp = static_cast<std::uint64_t>(clock.now().time_since_epoch().count()) - kEpoch;
  auto previous = last.load(std::memory_order_relaxed);
  for (;;) {
    const auto next = stamp > previous ? stamp : previous + 1;
    if (last.compare_exchange_weak(previous, next, std::memory_order_relaxed)) {
      stamp = next;
      break;
    }
  }
  const auto salt = process_salt();
  MessageId id;
  id.text_.resize(kLength);
  for (int i = 9; i >= 0; --i, stamp >>= 5) id.text_[static_cast<std::size_t>(i)] = kAlphabet[stamp & 31];
  auto rest = salt;
  for (std::size_t i = 15; i >= 10; --i, rest >>= 5) id.text_[i] = kAlphabet[rest & 31];
  return id;
}

std::string random_octets(std::size_t count) {
  std::string out(count, '\0');
  std::size_t done = 0;
  while (done < count) {
    const auto got = ::getrandom(out.data() + done, count - done, 0);
    if (got > 0) done += static_cast<std::size_t>(got);
  }
  return out;
}

std::string random_token(std::size_t count) {
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz012345";  // 32: no bias
  auto out = random_octets(count);
  for (auto& c : out) c = kLetters[static_cast<unsigned char>(c) & 31];
  return out;
}

}  // namespace mail
