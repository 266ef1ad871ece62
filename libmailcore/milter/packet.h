// Packets of the milter protocol on the wire.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mail::milter {

struct Packet {
  char what = 0;
  std::string_view data;
};

/// Appends one packet.
void append_packet(std::string& to, char what, std::string_view data);
void append_number(std::string& to, std::uint32_t number);  ///< Four octets, big-endian.
/// Appends a text and its NUL; what follows a NUL of its own is not sent.
void append_text(std::string& to, std::string_view text);

/// Takes a number, or a text up to its NUL, off the front; nothing (and nothing taken) where there is none.
std::optional<std::uint32_t> take_number(std::string_view& data);
std::optional<std::string_view> take_text(std::string_view& data);

/// Frames packets out of a stream, however it is split.
class PacketReader {
 public:
  /// The longest packet that is read: a megabyte of body (SMFIP_MDS_1M) with something to spare.
  static constexpr std::size_t kMostOctets = (std::size_t{1} << 20) + 4096;
  void receive(std::string_view octets) { held_.append(octets); }
  /// The next packet; valid until the next call here. `syntax` for a length that cannot be.
  Result<std::optional<Packet>> next();

 private:
  std::string held_;
  std::size_t used_ = 0;
};

}  // namespace mail::milter
