#include "imap/arguments.h"

#include <array>

#include "base/strings.h"

namespace mail::imap {

bool is_atom_char(unsigned char c) {
  return c > 0x20 && c < 0x7f && c != '(' && c != ')' && c != '{' && c != '%' && c != '*' && c != '"' && c != '\\' &&
         c != ']';
}
bool is_astring_char(unsigned char c) { return is_atom_char(c) || c == ']'; }
bool is_list_char(unsigned char c) { return is_astring_char(c) || c == '%' || c == '*'; }
bool is_tag_char(unsigned char c) { return is_astring_char(c) && c != '+'; }

namespace {
auto syntax(const char* text) { return fail(Error::Kind::syntax, text); }
}  // namespace

tl::unexpected<Error> unknown(std::string_view what, std::string_view word) {
  constexpr std::size_t kShown = 40;  // a line may be long
  return fail(Error::Kind::syntax, concat({"Unknown ", what, " ", word.substr(0, kShown)}));
}

Status Arguments::space() {
  if (cursor_.at_end()) return syntax("More arguments expected");
  if (!cursor_.take(' ')) return syntax("Space expected");
  return {};
}
Status Arguments::open() {
  if (!cursor_.take('(')) return syntax("( expected");
  return {};
}
Status Arguments::close() {
  if (!cursor_.take(')')) return syntax(") expected");
  return {};
}
Status Arguments::end() {
  if (!cursor_.at_end()) return syntax("Unexpected arguments");
  return {};
}

Result<std::string_view> Arguments::atom() {
  const auto text = cursor_.take_while(is_atom_char);
  if (text.empty()) return syntax("Atom expected");
  return text;
}

Result<std::string_view> Arguments::flag() {
  const auto start = cursor_.offset();
  const auto all = cursor_.rest();
  if (cursor_.take('\\') && cursor_.peek() == '*') return cursor_.rewind(start), syntax("\\* is not a flag");
  if (cursor_.take_while(is_atom_char).empty()) return cursor_.rewind(start), syntax("Flag expected");
  return all.substr(0, cursor_.offset() - start);
}

Result<std::string_view> Arguments::literal(bool* is_literal8) {
  const bool binary = cursor_.take('~');
  if (is_literal8 != nullptr) *is_literal8 = binary;
  if (!cursor_.take('{')) return syntax("Literal expected");
  const auto octets = cursor_.take_decimal<std::uint64_t>();
  if (!octets) return syntax("Literal without length");
  if (!cursor_.take('+')) cursor_.take('-');
  if (!cursor_.take("}\r\n")) return syntax("Malformed literal");
  const auto text = cursor_.take_octets(*octets);
  if (!text) return syntax("Literal is cut short");
  if (!binary && text->find('\0') != std::string_view::npos) return syntax("NUL in a literal");
  return *text;
}

Result<std::string> Arguments::string() {
  if (at_literal()) {
    MAIL_TRY(text, literal());
    return std::string(text);
  }
  if (!cursor_.take('"')) return syntax("String expected");
  std::string out;
  for (;;) {
    out +=
        cursor_.take_while([](unsigned char c) { return c != '"' && c != '\\' && c != '\r' && c != '\n' && c != 0; });
    if (cursor_.take('"')) return out;
    if (!cursor_.take('\\')) return syntax("Quoted string without end");
    const int c = cursor_.peek();
    if (c != '"' && c != '\\') return syntax("Only \" and \\ may be escaped");
    out += static_cast<char>(c);
    cursor_.skip(1);
  }
}

Result<std::string> Arguments::astring() {
  if (peek() == '"' || at_literal()) return string();
  // 8-bit octets are taken too: some clients send UTF-8 mailbox names as atoms, and nothing else could be meant.
  const auto text = cursor_.take_while([](unsigned char c) { return is_astring_char(c) || c >= 0x80; });
  if (text.empty()) return syntax("String expected");
  return std::string(text);
}

Result<std::optional<std::string>> Arguments::nstring() {
  if (peek() != '"' && !at_literal()) {
    if (!cursor_.take_word("NIL")) return syntax("String or NIL expected");
    return std::optional<std::string>{};
  }
  MAIL_TRY(text, string());
  return std::optional<std::string>(std::move(text));
}

Result<std::string> Arguments::list_mailbox() {
  if (peek() == '"' || at_literal()) return string();
  const auto text = cursor_.take_while([](unsigned char c) { return is_list_char(c) || c >= 0x80; });
  if (text.empty()) return syntax("Mailbox pattern expected");
  return std::string(text);
}

Result<std::uint32_t> Arguments::number() {
  const auto value = cursor_.take_decimal<std::uint32_t>();
  if (!value) return syntax("Number expected");
  return *value;
}
Result<std::uint32_t> Arguments::nz_number() {
  MAIL_TRY(value, number());
  if (value == 0) return syntax("Number above 0 expected");
  return value;
}
Result<std::uint64_t> Arguments::number64() {
  const auto value = cursor_.take_decimal<std::uint64_t>(INT64_MAX);
  if (!value) return syntax("Number expected");
  return *value;
}
Result<std::int64_t> Arguments::signed_number() {
  const bool negative = cursor_.take('-');
  MAIL_TRY(value, number64());
  return negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
}

Result<SequenceSet> Arguments::sequence_set() {
  auto set = SequenceSet::take(cursor_);
  if (!set) return syntax("Invalid sequence set");
  return std::move(*set);
}

Result<std::vector<std::string>> Arguments::flag_list(bool parentheses_optional) {
  std::vector<std::string> flags;
  const bool parentheses = take('(');
  if (!parentheses && !parentheses_optional) return syntax("( expected");
  if (parentheses && take(')')) return flags;
  do {
    MAIL_TRY(name, flag());
    flags.emplace_back(name);
  } while (take(' '));
  if (parentheses) MAIL_CHECK(close());
  return flags;
}

Result<std::vector<std::string>> Arguments::atom_list() {
  std::vector<std::string> atoms;
  MAIL_CHECK(open());
  if (take(')')) return atoms;
  do {
    MAIL_TRY(name, atom());
    atoms.push_back(to_upper(name));
  } while (take(' '));
  MAIL_CHECK(close());
  return atoms;
}

Status Arguments::skip_value() { return skip_value(0); }

Status Arguments::skip_value(int depth) {
  if (depth > kMostNesting) return syntax("Too many parentheses");
  if (take('(')) {
    if (take(')')) return {};
    do MAIL_CHECK(skip_value(depth + 1));
    while (take(' '));
    return close();
  }
  if (peek() == '"' || at_literal()) {
    MAIL_CHECK(string());
    return {};
  }
  const auto text = cursor_.take_while(
      [](unsigned char c) { return is_astring_char(c) || c == '*' || c == '\\' || c == ':' || c == ','; });
  if (text.empty()) return syntax("Value expected");
  return {};
}

// Dates.

namespace {

constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<unsigned> digits(Cursor& cursor, std::size_t least, std::size_t most) {
  std::size_t length = 0;
  while (length < most && cursor.peek(length) >= '0' && cursor.peek(length) <= '9') ++length;
  if (length < least) return std::nullopt;
  return parse_decimal<unsigned>(*cursor.take_octets(length));
}

std::optional<Day> take_day(Cursor& cursor, bool fixed) {
  if (fixed) cursor.take(' ');
  const auto day = digits(cursor, 1, 2);
  if (!day || !cursor.take('-')) return std::nullopt;
  unsigned month = 0;
  for (unsigned i = 0; i < kMonths.size() && month == 0; ++i)
    if (cursor.take_word(kMonths[i])) month = i + 1;
  if (month == 0 || !cursor.take('-')) return std::nullopt;
  const auto year = digits(cursor, 4, 4);
  if (!year) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(month),
                                         std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  return Day(date);
}

}  // namespace

Result<Day> parse_date_text(std::string_view text) {
  Cursor cursor(text);
  const auto day = take_day(cursor, false);
  if (!day || !cursor.at_end()) return syntax("Invalid date");
  return *day;
}

Result<DateTime> parse_date_time(std::string_view text) {
  Cursor cursor(text);
  const auto day = take_day(cursor, true);
  if (!day || !cursor.take(' ')) return syntax("Invalid date");
  const auto hour = digits(cursor, 2, 2);
  if (!hour || !cursor.take(':')) return syntax("Invalid time");
  const auto minute = digits(cursor, 2, 2);
  if (!minute || !cursor.take(':')) return syntax("Invalid time");
  const auto second = digits(cursor, 2, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 60 || !cursor.take(' ')) return syntax("Invalid time");
  const bool west = cursor.peek() == '-';
  if (!cursor.take('-') && !cursor.take('+')) return syntax("Invalid zone");
  const auto zone = digits(cursor, 4, 4);
  if (!zone || *zone % 100 > 59 || !cursor.at_end()) return syntax("Invalid zone");
  const auto offset = std::chrono::hours(*zone / 100) + std::chrono::minutes(*zone % 100);
  DateTime result;
  result.zone = west ? -offset : offset;
  result.instant =
      *day + std::chrono::hours(*hour) + std::chrono::minutes(*minute) + std::chrono::seconds(*second) - result.zone;
  return result;
}

Result<Day> Arguments::date() {
  const bool quoted = take('"');
  const auto day = take_day(cursor_, false);
  if (!day) return syntax("Invalid date");
  if (quoted && !take('"')) return syntax("Invalid date");
  return *day;
}

Result<DateTime> Arguments::date_time() {
  if (peek() != '"') return syntax("Date and time expected");
  MAIL_TRY(text, string());
  return parse_date_time(text);
}

void append_date_time(std::string& out, const DateTime& date_time) {
  const auto local = date_time.instant + date_time.zone;
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(local - day);
  char text[26];
  const auto two = [](char* to, unsigned value) {
    to[0] = static_cast<char>('0' + value / 10 % 10);
    to[1] = static_cast<char>('0' + value % 10);
  };
  const int year = std::max(0, std::min(9999, static_cast<int>(date.year())));
  two(text, static_cast<unsigned>(date.day()));
  text[2] = '-';
  const auto month = kMonths[static_cast<unsigned>(date.month()) - 1];
  std::copy(month.begin(), month.end(), text + 3);
  text[6] = '-';
  two(text + 7, static_cast<unsigned>(year) / 100);
  two(text + 9, static_cast<unsigned>(year) % 100);
  text[11] = ' ';
  two(text + 12, static_cast<unsigned>(time.hours().count()));
  text[14] = ':';
  two(text + 15, static_cast<unsigned>(time.minutes().count()));
  text[17] = ':';
  two(text + 18, static_cast<unsigned>(time.seconds().count()));
  text[20] = ' ';
  const auto zone = static_cast<unsigned>(std::abs(static_cast<int>(date_time.zone.count())));
  text[21] = date_time.zone.count() < 0 ? '-' : '+';
  two(text + 22, zone / 60);
  two(text + 24, zone % 60);
  out.append(text, sizeof text);
}

}  // namespace mail::imap
