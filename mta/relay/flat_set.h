// A set in one piece of memory: where a million small things are kept, the nodes of std::unordered_set weigh more than
// what is in them. Open addressing with linear probing.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

namespace mail::relay {

/// Slot is free as it is made, and afterwards true; it has key() and a static hash(key), whose low bits are good. What
/// find() and insert() return is valid until the next insert() or erase().
template <class Slot>
class FlatSet {
 public:
  using Key = decltype(std::declval<const Slot&>().key());

  std::size_t size() const { return size_; }
  bool contains(Key key) const { return !slots_.empty() && slots_[place_of(key)]; }
  /// Null where it is not there.
  Slot* find(Key key) {
    if (slots_.empty()) return nullptr;
    auto& slot = slots_[place_of(key)];
    return slot ? &slot : nullptr;
  }
  /// False where the key was there: then nothing is changed.
  bool insert(Slot slot) {
    if (contains(slot.key())) return false;
    if ((size_ + 1) * 8 > slots_.size() * 7) grow();
    auto& place = slots_[place_of(slot.key())];
    place = std::move(slot);
    ++size_;
    return true;
  }
  bool erase(Key key) {
    if (!contains(key)) return false;
    auto hole = place_of(key);
    [[maybe_unused]] const auto gone = std::exchange(slots_[hole], Slot());  // `key` may lie in it
    // What stands behind it moves up, unless it would come to stand before its own place.
    for (auto at = next(hole); slots_[at]; at = next(at)) {
      const auto home = home_of(slots_[at].key());
      if (((at - home) & mask()) < ((at - hole) & mask())) continue;
      slots_[hole] = std::exchange(slots_[at], Slot());
      hole = at;
    }
    --size_;
    return true;
  }

  class Iterator {
   public:
    Iterator(const Slot* at, const Slot* end) : at_(at), end_(end) { skip(); }
    const Slot& operator*() const { return *at_; }
    Iterator& operator++() { return ++at_, skip(), *this; }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    void skip() {
      while (at_ != end_ && !*at_) ++at_;
    }
    const Slot *at_, *end_;
  };
  Iterator begin() const { return {slots_.data(), slots_.data() + slots_.size()}; }
  Iterator end() const { return {slots_.data() + slots_.size(), slots_.data() + slots_.size()}; }

 private:
  std::size_t mask() const { return slots_.size() - 1; }
  std::size_t next(std::size_t at) const { return (at + 1) & mask(); }
  std::size_t home_of(Key key) const { return Slot::hash(key) & mask(); }
  /// Where it is, or the free slot where it belongs.
  std::size_t place_of(Key key) const {
    auto at = home_of(key);
    while (slots_[at] && !(slots_[at].key() == key)) at = next(at);
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    for (auto& slot : old)
      if (slot) {
        auto& place = slots_[place_of(slot.key())];
        place = std::move(slot);
      }
  }
  std::vector<Slot> slots_;  // a power of two, never full
  std::size_t size_ = 0;
};

}  // namespace mail::relay
