#include "store/text_index.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace mail::store {

namespace {

constexpr std::size_t kFilterLeast = 64, kFilterMost = 64 * 1024;

std::uint32_t hash_trigram(const unsigned char* at) {
  const std::uint32_t value = static_cast<std::uint32_t>(at[0]) | (static_cast<std::uint32_t>(at[1]) << 8) |
                              (static_cast<std::uint32_t>(at[2]) << 16);
  std::uint64_t mixed = value * 0x9E3779B97F4A7C15ULL;
  mixed ^= mixed >> 29;
  return static_cast<std::uint32_t>((mixed * 0xBF58476D1CE4E5B9ULL) >> 32);
}

/// Without the instruction for it, which not every machine has, std::popcount is a call.
std::size_t bits_set(std::string_view octets) {
  std::size_t count = 0;
  for (; octets.size() >= 8; octets.remove_prefix(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, octets.data(), 8);
    word -= (word >> 1) & 0x5555555555555555ULL;
    word = (word & 0x3333333333333333ULL) + ((word >> 2) & 0x3333333333333333ULL);
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
    count += (word * 0x0101010101010101ULL) >> 56;
  }
  return count;
}

}  // namespace

std::string make_filter(std::string_view folded) {
  // One bit for each trigram; a filter twice as large is folded together while it is sparse, so that its size follows
  // the number of different trigrams.
  std::string bits(std::clamp(std::bit_ceil(folded.size() / 2), kFilterLeast, kFilterMost), '\0');
  const auto* at = reinterpret_cast<const unsigned char*>(folded.data());
  const auto mask = bits.size() * 8 - 1;
  for (std::size_t i = 0; i + 3 <= folded.size(); ++i) {
    const auto bit = hash_trigram(at + i) & mask;
    bits[bit / 8] = static_cast<char>(bits[bit / 8] | (1 << (bit % 8)));
  }
  while (bits.size() > kFilterLeast && bits_set(bits) <= bits.size()) {
    const auto half = bits.size() / 2;
    for (std::size_t i = 0; i < half; ++i) bits[i] = static_cast<char>(bits[i] | bits[half + i]);
    bits.resize(half);
  }
  return bits;
}

std::vector<std::uint32_t> needle_trigrams(std::string_view folded) {
  std::vector<std::uint32_t> out;
  const auto* at = reinterpret_cast<const unsigned char*>(folded.data());
  for (std::size_t i = 0; i + 3 <= folded.size(); ++i) out.push_back(hash_trigram(at + i));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

bool TextIndex::Reading::may_contain(FilterRef ref, const std::vector<std::uint32_t>& trigrams) const {
  const auto filter = record(ref);
  if (!filter || filter->size() < kFilterLeast || !std::has_single_bit(filter->size())) return true;
  const auto mask = filter->size() * 8 - 1;
  return std::ranges::all_of(trigrams, [&](std::uint32_t trigram) {
    const auto bit = trigram & mask;
    return ((static_cast<unsigned char>((*filter)[bit / 8]) >> (bit % 8)) & 1) != 0;
  });
}

}  // namespace mail::store
