// Header fields over a string_view (RFC 5322 section 2.2, obsolete forms of section 4 too). Nothing is copied and
// nothing fails.
#pragma once
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace mail::message {

/// One field as it stands. `raw` is all of it with its line ends; `value` is what follows the colon, without the last
/// line end, folded as found. A line without a colon has an empty name and itself as value.
struct HeaderField {
  std::string_view name;
  std::string_view value;
  std::string_view raw;
};

/// The fields of one header, in order. The header ends at the first empty line or the end of the text; lines end in
/// CRLF or LF. Walking costs one memchr for each line.
class HeaderFields {
 public:
  /// @param text  begins with a header; what follows the empty line is not looked at
  explicit HeaderFields(std::string_view text) : text_(text) {}

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::input_iterator_tag;
    using value_type = HeaderField;
    using difference_type = std::ptrdiff_t;
    using pointer = const HeaderField*;
    using reference = const HeaderField&;
    Iterator() = default;
    explicit Iterator(std::string_view rest) : rest_(rest) { next(); }
    const HeaderField& operator*() const { return field_; }
    const HeaderField* operator->() const { return &field_; }
    Iterator& operator++() {
      next();
      return *this;
    }
    void operator++(int) { next(); }
    bool operator==(std::default_sentinel_t) const { return done_; }

   private:
    void next();
    std::string_view rest_;
    HeaderField field_;
    bool done_ = true;
  };
  Iterator begin() const { return Iterator(text_); }
  static std::default_sentinel_t end() { return {}; }

  /// The first field of that name (ASCII case does not matter), its value as found.
  std::optional<std::string_view> find(std::string_view name) const;
  std::size_t count(std::string_view name) const;

 private:
  std::string_view text_;
};

/// The header at the start of `text`, with its ending empty line.
std::string_view header_of(std::string_view text);
/// What follows the header and its empty line.
std::string_view body_of(std::string_view text);

/// A field value with its folding undone (RFC 5322 section 2.2.3: line ends go, white space stays), trimmed at both
/// ends; NUL, and CR or LF that are no folding, become spaces.
std::string unfold(std::string_view value);
/// As unfold(), appended.
void append_unfolded(std::string& to, std::string_view value);

/// True for 1*ftext (RFC 5322 section 3.6.8): fit to be written as a field name.
bool is_field_name(std::string_view name);

}  // namespace mail::message
