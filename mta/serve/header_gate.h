// Holds back the header of a message that is coming in, until it is whole: then it is known what to add and whether to
// refuse.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mail::mta {

class HeaderGate {
 public:
  void begin(std::size_t most_octets);
  /// Takes a piece of the message. @return what of it is behind the header (empty while the header is not whole).
  std::string_view feed(std::string_view piece);
  /// The message is over: what was taken is all header.
  void finish() { whole_ = true; }
  bool whole() const { return whole_; }
  bool too_large() const { return too_large_; }
  /// The fields with their line ends; with the empty line behind them where there was one.
  const std::string& header() const { return header_; }
  void release();  ///< Forgets the text, keeps the state.

 private:
  std::string header_;
  std::size_t most_octets_ = 0;
  bool whole_ = false;
  bool too_large_ = false;
};

}  // namespace mail::mta
