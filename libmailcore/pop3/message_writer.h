// A stored message made into the body of a multi-line reply (RFC 1939 section 3): CRLF line ends, dots doubled, a dot
// at its end.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace mail::pop3 {

/// Takes the stored octets in pieces of any size; how they are cut never changes what is written. LF and CRLF both end
/// a line in the store and CRLF does on the wire; a CR elsewhere goes out as it is, as IMAP shows it.
class MessageWriter {
 public:
  static constexpr std::uint64_t kWhole = std::numeric_limits<std::uint64_t>::max();
  /// @param body_lines  how many lines of the body are sent after the header and the empty line (TOP); kWhole for RETR
  explicit MessageWriter(std::uint64_t body_lines = kWhole) : body_lines_(body_lines) {}
  /// Appends the wire form of `stored` to `out`; false once nothing more of the message is wanted.
  bool append(std::string_view stored, std::string& out);
  /// Ends the last line where the message did not, and writes the final dot.
  void finish(std::string& out);

 private:
  bool append_lines(std::string_view stored, std::string& out);
  std::uint64_t body_lines_;
  bool in_body_ = false;
  bool line_start_ = true;
  bool after_cr_ = false;   ///< The last octet written was a CR of the store.
  bool line_empty_ = true;  ///< Nothing but a CR since the last line end.
};

}  // namespace mail::pop3
