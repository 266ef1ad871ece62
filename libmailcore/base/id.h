// Message ids: the queue id in the 250, the name of the spool file, the id in every log line and in `mta trace`.
#pragma once
#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace mail {

/// Sixteen characters of 0-9A-HJKMNP-TV-Z (Crockford base 32): 48 bits of microseconds-derived time, process and
/// counter salt. Sorts by time; unique on one host also when the clock goes back (a process never gives an id twice,
/// and the salt is random per process).
class MessageId {
 public:
  static constexpr std::size_t kLength = 16;
  MessageId() = default;
  static std::optional<MessageId> parse(std::string_view text);
  static MessageId generate(const Clock& clock = Clock::system());
  const std::string& text() const { return text_; }
  explicit operator bool() const { return !text_.empty(); }
  auto operator<=>(const MessageId&) const = default;

 private:
  std::string text_;
};

/// `count` random octets from the kernel.
std::string random_octets(std::size_t count);
/// `count` random characters of a-z0-9.
std::string random_token(std::size_t count);

}  // namespace mail

template <>
struct std::hash<mail::MessageId> {
  std::size_t operator()(const mail::MessageId& id) const noexcept { return std::hash<std::string>{}(id.text()); }
};
