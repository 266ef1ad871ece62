#include "message/date.h"

#include <array>
#include <ctime>

#include "base/cursor.h"
#include "base/strings.h"
#include "message/comment.h"

namespace mail::message {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

struct Fields {
  std::optional<int> year, month, day;
  int hour = 0, minute = 0, second = 0;
  bool time_seen = false;
  std::optional<minutes> zone;
};

std::optional<int> month_of(std::string_view word) {
  if (word.size() < 3) return std::nullopt;
  for (std::size_t i = 0; i < kMonths.size(); ++i)
    if (iequals(word.substr(0, 3), kMonths[i])) return static_cast<int>(i) + 1;
  return std::nullopt;
}

bool is_day_name(std::string_view word) {
  if (word.size() < 2) return false;
  for (const auto name : kDays)
    if (istarts_with(word, name.substr(0, 3)) || (word.size() == 2 && istarts_with(name, word))) return true;
  return false;
}

/// RFC 5322 section 4.3: these names have a meaning, all others (military ones too) say nothing and count as UTC.
minutes zone_of(std::string_view word) {
  struct Zone {
    std::string_view name;
    int hours;
  };
  static constexpr std::array kZones{Zone{"EST", -5}, Zone{"EDT", -4}, Zone{"CST", -6}, Zone{"CDT", -5},
                                     Zone{"MST", -7}, Zone{"MDT", -6}, Zone{"PST", -8}, Zone{"PDT", -7},
                                     Zone{"MET", 1},  Zone{"MEST", 2}, Zone{"CET", 1},  Zone{"CEST", 2},
                                     Zone{"JST", 9},  Zone{"BST", 1}};
  for (const auto& zone : kZones)
    if (iequals(zone.name, word)) return hours(zone.hours);
  return minutes(0);
}

std::optional<DateTime> to_date_time(const Fields& fields) {
  if (!fields.year || !fields.month || !fields.day || *fields.year < 0 || *fields.year > 9999) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*fields.year),
                                         std::chrono::month(static_cast<unsigned>(*fields.month)),
                                         std::chrono::day(static_cast<unsigned>(*fields.day))};
  if (!date.ok() || fields.hour > 24 || fields.minute > 59 || fields.second > 60) return std::nullopt;
  const auto zone = fields.zone.value_or(minutes(0));
  return DateTime{sys_days(date) + hours(fields.hour) + minutes(fields.minute) + seconds(fields.second) - zone, zone};
}

/// Octets that cannot begin a token: blanks, commas, comments (nested).
void skip_filling(Cursor& in) {
  do in.take_while([](unsigned char c) { return is_white(c) || c == ',' || c == '"' || c == ';' || c == '.'; });
  while (skip_comment(in));
}

void take_time(Cursor& in, Fields& fields, int hour) {
  fields.hour = hour;
  fields.time_seen = true;
  skip_filling(in);
  fields.minute = static_cast<int>(in.take_decimal<unsigned>(99).value_or(0));
  skip_filling(in);
  if (in.take(':')) {
    skip_filling(in);
    fields.second = static_cast<int>(in.take_decimal<unsigned>(99).value_or(0));
    if (in.peek() == '.' &&
        is_digit(static_cast<unsigned char>(in.peek(1) < 0 ? 0 : in.peek(1)))) {  // fractions, as ISO 8601 has them
      in.skip(1);
      in.take_while(is_digit);
    }
  }
}

void take_zone(Cursor& in, Fields& fields) {
  const bool west = in.peek() == '-';
  in.skip(1);
  const auto digits = in.take_while(is_digit);
  std::string_view hour = digits.substr(0, 2), minute;
  if (digits.size() <= 2 && in.take(':')) {
    minute = in.take_while(is_digit);
  } else if (digits.size() >= 3) {
    hour = digits.substr(0, digits.size() - 2);
    minute = digits.substr(digits.size() - 2);
  }
  const auto h = parse_decimal<int>(hour).value_or(0), m = parse_decimal<int>(minute).value_or(0);
  if (h > 23 || m > 59) return;
  const auto offset = hours(h) + minutes(m);
  fields.zone = west ? -offset : offset;
}

int full_year(int year, std::size_t digits) {
  if (digits == 2) return year < 50 ? 2000 + year : 1900 + year;
  return digits == 3 ? 1900 + year : year;
}

void take_number(Cursor& in, Fields& fields) {
  const auto start = in.offset();
  const auto number = in.take_decimal<unsigned>(99'999'999);
  if (!number) {
    in.take_while(is_digit);
    return;
  }
  const auto digits = in.offset() - start;
  const int value = static_cast<int>(*number);
  const auto after = in.offset();
  skip_filling(in);
  if (!fields.time_seen && digits <= 2 && in.take(':')) return take_time(in, fields, value);
  in.rewind(after);
  if (digits == 4 && !fields.day && !fields.month && in.take('-')) {  // ISO 8601: 1997-11-21T09:55
    fields.year = value;
    fields.month = static_cast<int>(in.take_decimal<unsigned>(12).value_or(0));
    if (in.take('-')) fields.day = static_cast<int>(in.take_decimal<unsigned>(31).value_or(0));
    in.take_word("T");
    return;
  }
  in.take('-');  // 21-Nov-97
  if (!fields.day && digits <= 2) {
    fields.day = value;
  } else if (!fields.year) {
    fields.year = full_year(value, digits);
  }
}

}  // namespace

std::optional<DateTime> parse_date(std::string_view value) {
  constexpr std::size_t kLongest = 1000;  // with comments; a date needs 31
  if (const auto semicolon = value.rfind(';'); semicolon != std::string_view::npos)
    value.remove_prefix(semicolon + 1);  // a Received field
  Cursor in(value.substr(0, kLongest));
  Fields fields;
  for (skip_filling(in); !in.at_end(); skip_filling(in)) {
    const auto c = static_cast<unsigned char>(in.peek());
    if (is_digit(c)) {
      take_number(in, fields);
    } else if ((c == '+' || c == '-') && fields.time_seen && !fields.zone) {
      take_zone(in, fields);
    } else if (is_alpha(c)) {
      const auto word = in.take_while(is_alpha);
      in.take('-');
      const auto month = month_of(word);
      if (month && !fields.month) {
        fields.month = month;
      } else if (fields.time_seen && !fields.zone && !is_day_name(word)) {
        if (iequals(word, "pm") && fields.hour < 12)
          fields.hour += 12;
        else if (iequals(word, "am") && fields.hour == 12)
          fields.hour = 0;
        else if (!iequals(word, "am") && !iequals(word, "pm"))
          fields.zone = zone_of(word);
      }
    } else {
      in.skip(1);
    }
  }
  return to_date_time(fields);
}

namespace {

void two(std::string& to, unsigned value) {
  to += static_cast<char>('0' + value / 10 % 10);
  to += static_cast<char>('0' + value % 10);
}
void year_text(std::string& to, int year) {
  const auto text = decimal(year < 0 ? 0 : year);
  if (text.size() < 4) to.append(4 - text.size(), '0');
  to += text;
}
void clock_text(std::string& to, sys_seconds local) {
  const std::chrono::hh_mm_ss clock(local - std::chrono::floor<days>(local));
  two(to, static_cast<unsigned>(clock.hours().count()));
  to += ':';
  two(to, static_cast<unsigned>(clock.minutes().count()));
  to += ':';
  two(to, static_cast<unsigned>(clock.seconds().count()));
}
void zone_text(std::string& to, minutes offset, std::string_view separator = "") {
  to += offset.count() < 0 ? '-' : '+';
  const auto all = static_cast<unsigned>(offset.count() < 0 ? -offset.count() : offset.count());
  two(to, all / 60);
  to += separator;
  two(to, all % 60);
}
std::string_view day_name(sys_days day) { return kDays[std::chrono::weekday(day).c_encoding()]; }
std::chrono::year_month_day calendar(sys_seconds local) { return std::chrono::floor<days>(local); }
std::string_view month_name(const std::chrono::year_month_day& date) {
  return kMonths[static_cast<unsigned>(date.month()) - 1];
}

/// "1997 09:55:06 -0600"
void year_clock_and_zone(std::string& out, const DateTime& date) {
  const auto local = date.time + date.zone_offset;
  year_text(out, static_cast<int>(calendar(local).year()));
  out += ' ';
  clock_text(out, local);
  out += ' ';
  zone_text(out, date.zone_offset);
}

}  // namespace

std::string format_date(const DateTime& date) {
  const auto day = calendar(date.time + date.zone_offset);
  std::string out(day_name(sys_days(day)));
  out += ", ";
  append_decimal(out, static_cast<unsigned>(day.day()));
  out += concat({" ", month_name(day), " "});
  year_clock_and_zone(out, date);
  return out;
}

DateTime local_time(sys_seconds time) {
  const std::time_t seconds_since_epoch = std::chrono::system_clock::to_time_t(time);
  std::tm broken{};
  if (::localtime_r(&seconds_since_epoch, &broken) == nullptr) return {time, minutes(0)};
  return {time, std::chrono::duration_cast<minutes>(seconds(broken.tm_gmtoff))};
}

std::optional<DateTime> parse_internal_date(std::string_view text) {
  // "dd-Mon-yyyy hh:mm:ss +zzzz"
  if (text.size() != 26 || text[2] != '-' || text[6] != '-' || text[11] != ' ' || text[14] != ':' || text[17] != ':' ||
      text[20] != ' ')
    return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t digits) {
    return parse_decimal<unsigned>(text.substr(at, digits));
  };
  Fields fields;
  const auto day = text[0] == ' ' ? number(1, 1) : number(0, 2);
  const auto year = number(7, 4), hour = number(12, 2), minute = number(15, 2), second = number(18, 2),
             zone_hour = number(22, 2), zone_minute = number(24, 2);
  const bool signed_zone = text[21] == '+' || text[21] == '-';
  if (!day || !year || !hour || !minute || !second || !zone_hour || !zone_minute || !signed_zone || *hour > 23 ||
      *zone_minute > 59)
    return std::nullopt;
  fields.day = static_cast<int>(*day);
  fields.month = month_of(text.substr(3, 3));
  fields.year = static_cast<int>(*year);
  fields.hour = static_cast<int>(*hour), fields.minute = static_cast<int>(*minute),
  fields.second = static_cast<int>(*second);
  const minutes zone = hours(*zone_hour) + minutes(*zone_minute);
  fields.zone = text[21] == '-' ? -zone : zone;
  return to_date_time(fields);
}

std::string format_internal_date(const DateTime& date) {
  const auto day = calendar(date.time + date.zone_offset);
  std::string out;
  two(out, static_cast<unsigned>(day.day()));
  out += concat({"-", month_name(day), "-"});
  year_clock_and_zone(out, date);
  return out;
}

std::string format_asctime(sys_seconds time) {
  const auto day = calendar(time);
  std::string out = concat({day_name(sys_days(day)), " ", month_name(day), " "});
  const auto number = static_cast<unsigned>(day.day());
  if (number < 10) out += ' ';
  append_decimal(out, number);
  out += ' ';
  clock_text(out, time);
  out += ' ';
  year_text(out, static_cast<int>(day.year()));
  return out;
}

std::string format_iso8601(const DateTime& date) {
  const auto local = date.time + date.zone_offset;
  const auto day = calendar(local);
  std::string out;
  year_text(out, static_cast<int>(day.year()));
  out += '-';
  two(out, static_cast<unsigned>(day.month()));
  out += '-';
  two(out, static_cast<unsigned>(day.day()));
  out += 'T';
  clock_text(out, local);
  zone_text(out, date.zone_offset, ":");
  return out;
}

}  // namespace mail::message
