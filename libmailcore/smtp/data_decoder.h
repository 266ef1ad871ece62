// Decodes the octets behind DATA: removes dot-stuffing and finds the end (RFC 5321 section 4.5.2). Only CRLF . CRLF
// ends the data.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mail::smtp {

class DataDecoder {
 public:
  enum class Found : std::uint8_t {
    octets,     ///< `piece` is part of the message.
    more,       ///< All input used, nothing for the message in it.
    end,        ///< The final dot was read.
    bare,       ///< A CR or LF of its own, or NUL. Where reported, decoding goes on behind it.
    long_line,  ///< A line above the limit: reported once per line.
  };
  struct Step {
    Found found;
    std::string_view piece{};  ///< Into the input, or a constant.
  };

  /// @param normalise  bare CR or LF give a CRLF and NUL nothing, instead of Found::bare
  /// @param most_line_octets  without CRLF; 0 = no limit
  /// @param dots  the input is dot-stuffed and ends with the final dot (DATA); else it is plain text to be checked
  /// (BDAT)
  void begin(bool normalise, std::size_t most_line_octets, bool dots = true);
  /// Uses octets at the front of `input` and drops them there. Pieces are as large as the input lets them be: a message
  /// without leading dots in one receive comes as one piece.
  Step step(std::string_view& input);
  /// The end of a text without dots: an unfinished last line gets its CRLF. Call until it returns Found::more.
  Step finish();

 private:
  // What was seen right before the input. Of a held CR or dot nothing was given out yet.
  enum class At : std::uint8_t { line_start, in_line, cr, dot, dot_cr };
  Step step_held(std::string_view& input);
  Step step_lines(std::string_view& input);

  At at_ = At::line_start;
  bool normalise_ = false;
  bool stuffed_ = true;
  bool dots_ = true;  // the line began behind a CRLF: its leading dot is stuffing
  bool reported_line_ = false;
  std::size_t most_line_octets_ = 0;
  std::size_t line_octets_ = 0;
};

}  // namespace mail::smtp
