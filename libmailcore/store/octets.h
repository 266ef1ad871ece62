// Little-endian numbers and counted strings of the index files.
#pragma once
#include <bit>
#include <concepts>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace mail::store {

static_assert(std::endian::native == std::endian::little, "index files are little-endian and copied as they are");

template <class T>
requires std::is_trivially_copyable_v<T>
void put(std::string& to, const T& value) { to.append(reinterpret_cast<const char*>(&value), sizeof value); }
inline void put_text(std::string& to, std::string_view text) {
  put(to, static_cast<std::uint32_t>(text.size()));
  to.append(text);
}

/// Reads what put() wrote; once something is missing, all further reads give zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view octets) : rest_(octets) {}
  bool ok() const { return ok_; }
  std::string_view rest() const { return rest_; }
  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value{};
    if (rest_.size() < sizeof value) return ok_ = false, value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string_view text() {
    const auto length = get<std::uint32_t>();
    if (length > rest_.size()) return ok_ = false, std::string_view{};
    const auto out = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return out;
  }
  std::string_view take(std::size_t octets) {
    if (octets > rest_.size()) return ok_ = false, std::string_view{};
    const auto out = rest_.substr(0, octets);
    rest_.remove_prefix(octets);
    return out;
  }
  /// A count of things that take at least `least` octets each: a damaged count cannot make anyone reserve memory.
  std::uint32_t count(std::size_t least) {
    const auto n = get<std::uint32_t>();
    if (n > rest_.size() / least) return ok_ = false, 0U;
    return n;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace mail::store
