#include "message/line_ends.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstring>

namespace mail::message {

namespace {

#ifdef __SSE2__
constexpr std::size_t kBlock = sizeof(__m128i);
__m128i block_at(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }
/// Bit i: octet i of the block is LF.
unsigned lfs_of(__m128i block) {
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8('\n'))));
}
#endif

/// Appends all of `text` with CRLF line ends, with `kDots` with doubled dots. One pass, one growth: lines of mail are
/// short, and a call for each would cost more than the octets do.
/// @param bare  bare_lfs(text, last)
template <bool kDots>
void append_expanded(std::string& to, std::string_view text, char last, std::uint64_t bare) {
  if (const auto whole = to.size() + text.size() + static_cast<std::size_t>(bare); whole > to.capacity())
    to.reserve(std::max(whole, 2 * to.capacity()));
  // Through a piece that stays in the nearest cache: growing a string in place would first fill it with zeros.
  constexpr std::size_t kPiece = 4096;
  char piece[kPiece + 32];
  std::size_t i = 0;
  const auto end_line = [&](char*& out) {
    if ((i == 0 ? last : text[i - 1]) != '\r') *out++ = '\r';
    *out++ = '\n';
    ++i;
    if (kDots && i < text.size() && text[i] == '.') *out++ = '.';
  };
  if (kDots && last == '\n' && text.starts_with('.')) to += '.';
  while (i < text.size()) {
    char* out = piece;
#ifdef __SSE2__
    while (out < piece + kPiece && i + kBlock <= text.size()) {
      const auto block = block_at(text.data() + i);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), block);
      const unsigned lfs = lfs_of(block);
      if (lfs == 0) {
        i += kBlock, out += kBlock;
        continue;
      }
      const auto plain = static_cast<std::size_t>(__builtin_ctz(lfs));
      i += plain, out += plain;
      end_line(out);
    }
    const auto blocks_end = text.size() < kBlock ? 0 : text.size() - kBlock + 1;
    if (i >= blocks_end)
#endif
      while (out < piece + kPiece && i < text.size()) {
        if (text[i] == '\n')
          end_line(out);
        else
          *out++ = text[i++];
      }
    to.append(piece, static_cast<std::size_t>(out - piece));
  }
}

}  // namespace

std::uint64_t bare_lfs(std::string_view text, char last) {
  if (text.empty()) return 0;
  std::uint64_t count = text[0] == '\n' && last != '\r' ? 1 : 0;
  std::size_t i = 1;
#ifdef __SSE2__
  // Each block beside the one that begins an octet before it. Counted in the octets of a register, which hold 255.
  const auto lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
  while (i + kBlock <= text.size()) {
    auto counts = _mm_setzero_si128();
    for (int n = 0; n < 255 && i + kBlock <= text.size(); ++n, i += kBlock) {
      const auto lfs = _mm_cmpeq_epi8(block_at(text.data() + i), lf);
      const auto crs = _mm_cmpeq_epi8(block_at(text.data() + i - 1), cr);
      counts = _mm_sub_epi8(counts, _mm_andnot_si128(crs, lfs));
    }
    const auto sums = _mm_sad_epu8(counts, _mm_setzero_si128());
    count += static_cast<std::uint64_t>(_mm_cvtsi128_si64(sums)) +
             static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)));
  }
#endif
  for (; i < text.size(); ++i) count += text[i] == '\n' && text[i - 1] != '\r' ? 1 : 0;
  return count;
}

void append_crlf(std::string& to, std::string_view text, char last) {
  append_crlf(to, text, last, bare_lfs(text, last));
}

void append_crlf(std::string& to, std::string_view text, char last, std::uint64_t bare) {
  if (bare == 0)
    to += text;
  else
    append_expanded<false>(to, text, last, bare);
}

void append_dotted_crlf(std::string& to, std::string_view text, char last) {
  // Where lines of 32 octets on average have room, counting them would save nothing.
  const bool room = to.capacity() - to.size() >= text.size() + text.size() / 32;
  append_expanded<true>(to, text, last, room ? 0 : bare_lfs(text, last));
}

void append_lf(std::string& to, std::string_view text, bool& pending_cr) {
  if (pending_cr && !text.empty()) {
    if (text.front() != '\n') to += '\r';
    pending_cr = false;
  }
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    const auto* cr = static_cast<const char*>(std::memchr(at, '\r', static_cast<std::size_t>(end - at)));
    if (cr == nullptr) break;
    to.append(at, static_cast<std::size_t>(cr - at));
    if (cr + 1 == end) {
      pending_cr = true;
      return;
    }
    if (cr[1] != '\n') to += '\r';
    at = cr + 1;
  }
  to.append(at, static_cast<std::size_t>(end - at));
}

}  // namespace mail::message
