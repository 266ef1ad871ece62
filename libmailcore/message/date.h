// Dates of header fields (RFC 5322 section 3.3 and 4.3) and of IMAP (RFC 9051 section 9, date-time).
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mail::message {

struct DateTime {
  std::chrono::sys_seconds time{};      ///< UTC.
  std::chrono::minutes zone_offset{0};  ///< East of UTC; the local date is time + zone_offset.
  bool operator==(const DateTime&) const = default;
  /// The calendar day where it was written, as IMAP's SENTON wants it (zone disregarded).
  std::chrono::sys_days local_day() const { return std::chrono::floor<std::chrono::days>(time + zone_offset); }
};

/// A Date field's value as found: comments, two-digit years, named zones, missing day name, missing seconds or zone
/// (UTC), asctime and ISO 8601 forms.
std::optional<DateTime> parse_date(std::string_view value);
/// "Fri, 21 Nov 1997 09:55:06 -0600"
std::string format_date(const DateTime& date);
/// In the zone of the process's environment (TZ).
DateTime local_time(std::chrono::sys_seconds time);

/// "17-Jul-1996 02:44:25 -0700", without quotes; strict, the day may be space-padded.
std::optional<DateTime> parse_internal_date(std::string_view text);
std::string format_internal_date(const DateTime& date);
/// "Fri Nov 21 09:55:06 1997", UTC: the mbox From_ line.
std::string format_asctime(std::chrono::sys_seconds time);
/// "1997-11-21T09:55:06-06:00"
std::string format_iso8601(const DateTime& date);

}  // namespace mail::message
