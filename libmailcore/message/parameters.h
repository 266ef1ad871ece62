// Content-Type and Content-Disposition with their parameters (RFC 2045 section 5, RFC 2183), continuations and charsets
// of RFC 2231 included.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mail::message {

struct Parameter {
  std::string name;   ///< As found; decode_parameters() gives lower case.
  std::string value;  ///< Quotes removed.
  bool operator==(const Parameter&) const = default;
};

/// "value; name=value; …" as found: RFC 2231 names such as `filename*0*` stay as they are, which is what BODYSTRUCTURE
/// shows.
struct ParameterizedValue {
  std::string value;    ///< "text" of "text/plain", "attachment"; empty where there was none.
  std::string subtype;  ///< "plain" of "text/plain"; empty without a slash.
  std::vector<Parameter> parameters;
};
/// Lenient: stray white space, comments, missing semicolons and quotes.
ParameterizedValue parse_parameterized(std::string_view value);

/// Continuations joined, percent-encoding and charsets decoded, encoded words in quotes too (wrong but common):
/// lower-case names, UTF-8 values.
std::vector<Parameter> decode_parameters(const std::vector<Parameter>& raw);
/// The decoded value of one parameter of a field's value.
std::optional<std::string> parameter(std::string_view value, std::string_view name);
const std::string* find_parameter(const std::vector<Parameter>& parameters, std::string_view name);

/// "; name=value", the value as token or quoted-string, or as RFC 2231 where it is not ASCII or too long; folded with
/// CRLF and a tab.
std::string format_parameter(std::string_view name, std::string_view value);

/// The name a sender gave to a part: Content-Disposition's filename, else Content-Type's name, decoded. Not yet safe as
/// a file name: see safe_file_name().
std::optional<std::string> file_name(std::optional<std::string_view> content_disposition,
                                     std::optional<std::string_view> content_type);
/// A name without path, control and bidi characters, leading dots, reserved names and over-long parts; `fallback` where
/// nothing is left.
std::string safe_file_name(std::string_view name, std::string_view fallback);

}  // namespace mail::message
