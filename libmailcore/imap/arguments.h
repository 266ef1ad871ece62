// What stands behind a command's name: the ABNF of RFC 9051 section 9, RFC 4466 and the extensions' common pieces.
// Works on the command in wire form, literals included (`{3}` CRLF `abc`), so that one view holds all of it and a
// fuzzer needs nothing else.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cursor.h"
#include "base/result.h"
#include "imap/number_set.h"

namespace mail::imap {

/// Parentheses within parentheses, everywhere in the grammar. Clients need four or five.
inline constexpr int kMostNesting = 64;

bool is_atom_char(unsigned char c);     ///< ATOM-CHAR; 8-bit octets are none.
bool is_astring_char(unsigned char c);  ///< ATOM-CHAR / "]"
bool is_list_char(unsigned char c);     ///< ATOM-CHAR / "%" / "*" / "]"
bool is_tag_char(unsigned char c);      ///< ASTRING-CHAR except "+"

/// A day without time or zone, as search keys have it.
using Day = std::chrono::sys_days;

/// date-time: an instant and the zone it was written in.
struct DateTime {
  std::chrono::sys_seconds instant{};
  std::chrono::minutes zone{};
  bool operator==(const DateTime&) const = default;
};

/// A syntax error that names what is not known: "Unknown search key FOO". `word` holds no control characters.
tl::unexpected<Error> unknown(std::string_view what, std::string_view word);

class Arguments {
 public:
  explicit Arguments(std::string_view octets) : cursor_(octets) {}

  bool at_end() const { return cursor_.at_end(); }
  int peek() const { return cursor_.peek(); }
  bool take(char c) { return cursor_.take(c); }
  bool take_word(std::string_view word) { return cursor_.take_word(word); }
  Cursor& cursor() { return cursor_; }
  std::size_t offset() const { return cursor_.offset(); }
  void rewind(std::size_t offset) { cursor_.rewind(offset); }

  Status space();  ///< Exactly one SP.
  Status open();   ///< "("
  Status close();  ///< ")"
  Status end();    ///< Nothing may follow.
  Result<std::string_view> atom();
  /// A flag (`\Seen`, `$Junk`, `x`), as written. `\*` is none.
  Result<std::string_view> flag();
  Result<std::string> string();  ///< quoted or literal. NUL only from literal8.
  Result<std::string> astring();
  Result<std::optional<std::string>> nstring();
  /// list-mailbox: wildcards need no quotes.
  Result<std::string> list_mailbox();
  /// literal or literal8 as a view into the command; `is_literal8` tells which.
  Result<std::string_view> literal(bool* is_literal8 = nullptr);
  bool at_literal() const { return peek() == '{' || (peek() == '~' && cursor_.peek(1) == '{'); }
  Result<std::uint32_t> number();
  Result<std::uint32_t> nz_number();
  Result<std::uint64_t> number64();
  /// Signed position as in PARTIAL (RFC 9394): `-100`.
  Result<std::int64_t> signed_number();
  Result<SequenceSet> sequence_set();
  Result<Day> date();            ///< `1-Feb-2024`, with or without quotes.
  Result<DateTime> date_time();  ///< `"01-Feb-2024 12:34:56 +0100"`
  /// `(\Seen $a)`, or the same without parentheses as STORE has it.
  Result<std::vector<std::string>> flag_list(bool parentheses_optional = false);
  /// `(ATOM ATOM …)`, upper case.
  Result<std::vector<std::string>> atom_list();

  /// What is left, whatever it is: the value of a parameter that is not known here. Balanced parentheses, strings,
  /// atoms.
  Status skip_value();

 private:
  Status skip_value(int depth);
  Cursor cursor_;
};

Result<Day> parse_date_text(std::string_view text);
Result<DateTime> parse_date_time(std::string_view text);
/// `01-Feb-2024 12:34:56 +0100`, without quotes; always 26 octets.
void append_date_time(std::string& out, const DateTime& date_time);

}  // namespace mail::imap
