#include "pop3/message_writer.h"

#include <cstring>

namespace mail::pop3 {
namespace {

/// RETR of a message held in one piece is all there is to a mail download: lines are found by memchr and copied as
/// runs.
const char* find_line_feed(const char* from, const char* end) {
  return static_cast<const char*>(std::memchr(from, '\n', static_cast<std::size_t>(end - from)));
}

}  // namespace

bool MessageWriter::append(std::string_view stored, std::string& out) {
  if (body_lines_ != kWhole) return append_lines(stored, out);
  // Room for every second octet being a line end would be waste: one in sixteen, and the string grows where that is not
  // enough.
  std::size_t used = out.size();
  const char* from = stored.data();
  const char* const end = from + stored.size();
  const auto reserve = [&](std::size_t octets) {
    if (used + octets > out.size()) out.resize((used + octets) + (used + octets) / 16 + 64);
  };
  reserve(stored.size() + stored.size() / 16);
  while (from != end) {
    if (line_start_ && *from == '.') {
      reserve(static_cast<std::size_t>(end - from) + 1);
      out[used++] = '.';
    }
    line_start_ = false;
    const char* const feed = find_line_feed(from, end);
    const char* const stop = feed != nullptr ? feed : end;
    const auto length = static_cast<std::size_t>(stop - from);
    reserve(static_cast<std::size_t>(end - from) + 2);
    std::memcpy(out.data() + used, from, length);
    used += length;
    if (length != 0) after_cr_ = stop[-1] == '\r';
    if (feed == nullptr) break;
    if (!after_cr_) out[used++] = '\r';
    out[used++] = '\n';
    after_cr_ = false;
    line_start_ = true;
    from = feed + 1;
  }
  out.resize(used);
  return true;
}

bool MessageWriter::append_lines(std::string_view stored, std::string& out) {
  while (!stored.empty()) {
    if (in_body_ && body_lines_ == 0) return false;
    const auto feed = stored.find('\n');
    const auto part = stored.substr(0, feed);
    if (line_start_ && stored.front() == '.') out += '.';
    if (!part.empty()) {
      out += part;
      line_empty_ = line_empty_ && part == "\r";
      after_cr_ = part.back() == '\r';
      line_start_ = false;
    }
    if (feed == std::string_view::npos) return true;
    out += after_cr_ ? "\n" : "\r\n";
    if (in_body_) {
      --body_lines_;
    } else {
      in_body_ = line_empty_;
    }
    line_start_ = line_empty_ = true;
    after_cr_ = false;
    stored.remove_prefix(feed + 1);
  }
  return !(in_body_ && body_lines_ == 0);
}

void MessageWriter::finish(std::string& out) {
  if (!line_start_) out += after_cr_ ? "\n" : "\r\n";
  out += ".\r\n";
}

}  // namespace mail::pop3
