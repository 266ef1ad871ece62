#include "milter/packet.h"

#include "base/strings.h"

namespace mail::milter {

void append_number(std::string& to, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(number >> shift & 0xff);
}

void append_packet(std::string& to, char what, std::string_view data) {
  append_number(to, static_cast<std::uint32_t>(data.size() + 1));
  to += what;
  to.append(data);
}

void append_text(std::string& to, std::string_view text) {
  to.append(text.substr(0, text.find('\0')));
  to += '\0';
}

std::optional<std::uint32_t> take_number(std::string_view& data) {
  if (data.size() < 4) return std::nullopt;
  std::uint32_t number = 0;
  for (const char c : data.substr(0, 4)) number = number << 8 | static_cast<unsigned char>(c);
  data.remove_prefix(4);
  return number;
}

std::optional<std::string_view> take_text(std::string_view& data) {
  const auto end = data.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  const auto text = data.substr(0, end);
  data.remove_prefix(end + 1);
  return text;
}

Result<std::optional<Packet>> PacketReader::next() {
  if (used_ == held_.size()) {
    held_.clear();
    used_ = 0;
  } else if (used_ > held_.size() / 2) {
    held_.erase(0, used_);
    used_ = 0;
  }
  auto rest = std::string_view(held_).substr(used_);
  const auto length = take_number(rest);
  if (!length) return std::optional<Packet>();
  if (*length == 0 || *length > kMostOctets)
    return fail(Error::Kind::syntax, concat({"a packet of ", decimal(*length), " octets"}));
  if (rest.size() < *length) return std::optional<Packet>();
  used_ += 4 + *length;
  return std::optional<Packet>(Packet{rest.front(), rest.substr(1, *length - 1)});
}

}  // namespace mail::milter
