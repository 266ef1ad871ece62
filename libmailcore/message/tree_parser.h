// How tree.cpp walks over a message. Not for other folders.
#pragma once
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "message/tree.h"

namespace mail::message {

/// One pass over the lines. A line that begins with "--" is compared with the boundaries of all multiparts that are
/// open, innermost first.
class TreeParser {
 public:
  TreeParser(std::string_view text, Tree& tree);
  void parse(bool header_only);

 private:
  /// A place in the text with what was counted up to it.
  struct Mark {
    std::size_t offset = 0;
    std::size_t lines = 0;
    std::size_t bare_lf = 0;
  };
  struct OpenMultipart {
    std::uint32_t part;
    std::string_view boundary;
    bool seen = false;
    std::uint32_t last_child = kNoPart;
  };
  struct Delimiter {
    std::size_t level;  // of open_
    bool closes;
  };

  bool take_line();
  Mark before_break() const;
  std::uint32_t add_part(std::uint32_t parent, bool is_message);
  std::optional<Delimiter> parse_part_header(std::uint32_t part);
  void note_field(std::uint32_t part, std::string_view field);
  void finish_header(std::uint32_t part);
  void set_type(Part& part, std::uint32_t index);
  std::optional<Delimiter> open_part(std::uint32_t part);
  std::optional<Delimiter> delimiter() const;
  void on_delimiter(Delimiter delimiter);
  void end_parts(std::uint32_t until, Mark end);
  std::string_view boundary_of(std::string_view content_type);
  void odd(Oddity::Kind kind, std::uint32_t part, std::size_t offset);

  std::string_view text_;
  Tree& tree_;
  std::list<std::string> owned_;  // boundaries that are not there as they stand in the text
  std::vector<OpenMultipart> open_;
  std::uint32_t current_ = 0;
  Mark at_;                   // where the next line begins
  Mark line_;                 // where this line begins
  std::string_view content_;  // of this line, without its line end
};

}  // namespace mail::message
