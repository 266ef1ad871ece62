#include "pop3/message_writer.h"

#include "message/line_ends.h"

namespace mail::pop3 {

bool MessageWriter::append(std::string_view stored, std::string& out) {
  if (body_lines_ != kWhole) return append_lines(stored, out);
  if (stored.empty()) return true;
  message::append_dotted_crlf(out, stored, line_start_ ? '\n' : after_cr_ ? '\r' : ' ');
  after_cr_ = stored.back() == '\r';
  line_start_ = stored.back() == '\n';
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
