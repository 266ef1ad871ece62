// Walks over octets that someone else owns: the base of every parser of the project.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace mail {

/// `take_x` may decline and then consumes nothing. Octets are not text: NUL is data, and sets are asked with unsigned
/// char.
class Cursor {
 public:
  explicit Cursor(std::string_view octets) : all_(octets), rest_(octets) {}
  explicit Cursor(std::same_as<std::string> auto&&) = delete;  // a temporary: gone before the first take

  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  std::size_t offset() const { return all_.size() - rest_.size(); }
  /// The next octet, or -1 at the end.
  int peek() const { return rest_.empty() ? -1 : static_cast<unsigned char>(rest_.front()); }
  int peek(std::size_t ahead) const { return ahead < rest_.size() ? static_cast<unsigned char>(rest_[ahead]) : -1; }

  void skip(std::size_t octets) { rest_.remove_prefix(octets < rest_.size() ? octets : rest_.size()); }
  void rewind(std::size_t offset) { rest_ = all_.substr(offset < all_.size() ? offset : all_.size()); }

  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view literal) {
    if (!rest_.starts_with(literal)) return false;
    rest_.remove_prefix(literal.size());
    return true;
  }
  /// As take(), without regard to ASCII case.
  bool take_word(std::string_view word);

  /// Returns exactly `octets` octets, or nothing where fewer are left.
  std::optional<std::string_view> take_octets(std::size_t octets) {
    if (octets > rest_.size()) return std::nullopt;
    auto taken = rest_.substr(0, octets);
    rest_.remove_prefix(octets);
    return taken;
  }
  /// Returns the longest run of octets for which in_set(unsigned char) holds, possibly empty, as a view into the input.
  template <std::predicate<unsigned char> Set>
  std::string_view take_while(Set in_set) {
    std::size_t length = 0;
    while (length < rest_.size() && in_set(static_cast<unsigned char>(rest_[length]))) ++length;
    auto taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }
  /// Decimal digits as a number; declines (consuming nothing) without a digit or above `most`.
  template <std::unsigned_integral T = std::uint64_t>
  std::optional<T> take_decimal(T most = std::numeric_limits<T>::max()) {
    std::size_t length = 0;
    T value = 0;
    while (length < rest_.size() && rest_[length] >= '0' && rest_[length] <= '9') {
      const T digit = static_cast<T>(rest_[length] - '0');
      if (value > (most - digit) / 10) return std::nullopt;
      value = static_cast<T>(value * 10 + digit);
      ++length;
    }
    if (length == 0) return std::nullopt;
    rest_.remove_prefix(length);
    return value;
  }

 private:
  std::string_view all_;
  std::string_view rest_;
};

}  // namespace mail
