#include "message/parameters.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/cursor.h"
#include "base/strings.h"
#include "message/charset.h"
#include "message/comment.h"
#include "message/encoded_word.h"

namespace mail::message {

namespace {

/// Pieces of one continued parameter at most: RFC 2231 sets no limit, a name this long no longer is one.
constexpr unsigned kMaximumContinuations = 1000;

void skip_white_and_comments(Cursor& in) {
  do in.take_while(is_white);
  while (skip_comment(in));
}

bool is_token_end(unsigned char c) { return is_white(c) || c == ';' || c == '=' || c == '"' || c == '('; }

/// A quoted-string after its first quote. Folding line ends go; a missing last quote ends it at the end of the value.
std::string take_quoted(Cursor& in) {
  std::string out;
  while (!in.at_end()) {
    const auto run = in.take_while([](unsigned char c) { return c != '"' && c != '\\' && c != '\r' && c != '\n'; });
    out += run;
    const int c = in.peek();
    if (c < 0) break;
    in.skip(1);
    if (c == '"') break;
    if (c == '\\') {
      if (in.peek() >= 0) out += static_cast<char>(in.peek());
      in.skip(1);
    }
  }
  return out;
}

/// An unquoted value: a token, leniently also one with spaces and specials ("name=my file.txt"), up to the semicolon. A
/// quote right after closes nothing.
std::string take_bare(Cursor& in) {
  const auto run = in.take_while([](unsigned char c) { return c != ';' && c != '\r' && c != '\n' && c != '('; });
  return std::string(trim(run));
}

void take_parameter(Cursor& in, std::vector<Parameter>& to) {
  skip_white_and_comments(in);
  const auto parameter_name = in.take_while([](unsigned char c) { return !is_token_end(c); });
  skip_white_and_comments(in);
  if (!in.take('=')) {
    // Not a parameter. Garbage is passed over, one octet at least, so that this ends.
    if (parameter_name.empty() && in.peek() != ';') in.skip(1);
    return;
  }
  skip_white_and_comments(in);
  std::string value = in.take('"') ? take_quoted(in) : take_bare(in);
  skip_white_and_comments(in);
  if (!parameter_name.empty()) to.push_back({std::string(parameter_name), std::move(value)});
}

}  // namespace

ParameterizedValue parse_parameterized(std::string_view value) {
  ParameterizedValue out;
  Cursor in(value);
  skip_white_and_comments(in);
  const auto in_word = [](unsigned char c) {
    return !is_white(c) && c != ';' && c != '/' && c != '(' && c != '"' && c != '=';
  };
  const auto first = in.take_while(in_word);
  skip_white_and_comments(in);
  if (in.peek() == '=') {  // "charset=utf-8": no type at all, only parameters
    in.rewind(0);
  } else {
    out.value = first;
    if (in.take('/')) {
      skip_white_and_comments(in);
      out.subtype = in.take_while(in_word);
    }
  }
  while (!in.at_end()) {
    if (in.take(';')) continue;
    take_parameter(in, out.parameters);
  }
  return out;
}

namespace {

struct Section {
  std::string value;
  bool encoded = false;
};
struct Continued {
  std::map<unsigned, Section> sections;
  std::optional<std::string> plain;
  std::size_t order = 0;
};

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      if (const auto octet = from_hex(text.substr(i + 1, 2))) {
        out += *octet;
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

/// Joins the sections 0, 1, 2, … up to the first gap.
std::string joined(const std::map<unsigned, Section>& sections) {
  std::string out, octets, charset;
  unsigned expected = 0;
  const auto flush = [&] {
    if (!octets.empty()) append_as_utf8(out, octets, charset);
    octets.clear();
  };
  for (const auto& [number, section] : sections) {
    if (number != expected++) break;
    std::string_view value = section.value;
    if (!section.encoded) {
      flush();
      append_as_utf8(out, value, "");
      continue;
    }
    if (number == 0) {
      const auto first = value.find('\'');
      const auto second = first == std::string_view::npos ? first : value.find('\'', first + 1);
      if (second != std::string_view::npos) {
        charset = value.substr(0, first);
        value.remove_prefix(second + 1);
      }
    }
    octets += percent_decoded(value);  // converted together: a character may be split over sections
  }
  flush();
  return out;
}

}  // namespace

std::vector<Parameter> decode_parameters(const std::vector<Parameter>& raw) {
  std::map<std::string, Continued> found;
  for (const auto& parameter : raw) {
    auto key = to_lower(parameter.name);
    const auto star = key.find('*');
    if (star == std::string::npos) {
      auto& entry = found.try_emplace(std::move(key), Continued{{}, {}, found.size()}).first->second;
      if (!entry.plain) entry.plain = parameter.value;
      continue;
    }
    std::string_view section = std::string_view(key).substr(star + 1);
    const bool encoded = section.empty() || section.ends_with('*');
    if (section.ends_with('*')) section.remove_suffix(1);
    const auto number = section.empty() ? std::optional<unsigned>(0) : parse_decimal<unsigned>(section);
    if (!number || *number >= kMaximumContinuations) continue;
    auto& entry = found.try_emplace(key.substr(0, star), Continued{{}, {}, found.size()}).first->second;
    entry.sections.try_emplace(*number, Section{parameter.value, encoded});
  }
  std::vector<Parameter> out(found.size());
  for (auto& [key, entry] : found) {
    std::string value;
    if (entry.sections.contains(0)) {
      value = joined(entry.sections);
    } else if (entry.plain) {
      value =
          entry.plain->find("=?") != std::string::npos ? decode_header_text(*entry.plain) : to_utf8(*entry.plain, "");
    }
    out[entry.order] = {key, std::move(value)};
  }
  return out;
}

const std::string* find_parameter(const std::vector<Parameter>& parameters, std::string_view name) {
  for (const auto& parameter : parameters)
    if (iequals(parameter.name, name)) return &parameter.value;
  return nullptr;
}

std::optional<std::string> parameter(std::string_view value, std::string_view name) {
  const auto parameters = decode_parameters(parse_parameterized(value).parameters);
  const auto* found = find_parameter(parameters, name);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

namespace {

bool is_attribute_char(unsigned char c) {  // RFC 2231 attribute-char
  return c > ' ' && c < 0x7F &&
         std::string_view("*'%()<>@,;:\\\"/[]?=").find(static_cast<char>(c)) == std::string_view::npos;
}
bool is_token_char(unsigned char c) {
  return c > ' ' && c < 0x7F &&
         std::string_view("()<>@,;:\\\"/[]?=").find(static_cast<char>(c)) == std::string_view::npos;
}

std::string extended_parameter(std::string_view name, std::string_view value) {
  constexpr std::size_t kRoom = 60;  // of one section's value: a line stays below 78 columns with any usual name
  std::vector<std::string> sections{"utf-8''"};
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto c = static_cast<unsigned char>(value[i]);
    const bool plain = is_attribute_char(c);
    if (sections.back().size() + (plain ? 1 : 3) > kRoom) sections.emplace_back();
    if (plain) {
      sections.back() += static_cast<char>(c);
    } else {
      sections.back() += '%';
      sections.back() += to_upper(to_hex(value.substr(i, 1)));
    }
  }
  if (sections.size() == 1) return concat({";\r\n\t", name, "*=", sections.front()});
  std::string out;
  for (std::size_t i = 0; i < sections.size(); ++i)
    out += concat({";\r\n\t", name, "*", decimal(i), "*=", sections[i]});
  return out;
}

}  // namespace

std::string format_parameter(std::string_view name, std::string_view value) {
  const bool ascii = std::ranges::all_of(value, [](char c) { return c >= ' ' && c < 0x7F; });
  if (!ascii || value.size() + name.size() > 70) return extended_parameter(name, value);
  const std::string_view separator = value.size() + name.size() > 40 ? ";\r\n\t" : "; ";
  const bool token =
      !value.empty() && std::ranges::all_of(value, [](char c) { return is_token_char(static_cast<unsigned char>(c)); });
  if (token) return concat({separator, name, "=", value});
  std::string quoted;
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return concat({separator, name, "=\"", quoted, "\""});
}

std::optional<std::string> file_name(std::optional<std::string_view> content_disposition,
                                     std::optional<std::string_view> content_type) {
  if (content_disposition)
    if (auto found = parameter(*content_disposition, "filename"); found && !found->empty()) return found;
  if (content_type)
    if (auto found = parameter(*content_type, "name"); found && !found->empty()) return found;
  return std::nullopt;
}

namespace {

/// Names that some system or tool takes for something else than a file.
bool is_reserved_name(std::string_view name) {
  static constexpr std::array kDevices{"con", "prn", "aux", "nul", "clock$"};
  const auto stem = name.substr(0, name.find('.'));
  for (const std::string_view device : kDevices)
    if (iequals(stem, device)) return true;
  return stem.size() == 4 && (istarts_with(stem, "com") || istarts_with(stem, "lpt")) &&
         is_digit(static_cast<unsigned char>(stem[3]));
}

}  // namespace

std::string safe_file_name(std::string_view name, std::string_view fallback) {
  constexpr std::size_t kMostOctets = 200;  // below NAME_MAX, with room for a number that makes it unique
  const auto slash = name.find_last_of("/\\");
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const auto repaired = repair_utf8(name);
  std::string out;
  for (const char c : repaired) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7F || std::string_view(":*?\"<>|").find(c) != std::string_view::npos) {
      out += '_';
    } else {
      out += c;
    }
  }
  out = printable(out);  // bidi controls and C1 controls
  std::string_view kept = trim(out);
  while (kept.starts_with('.') || kept.starts_with('-') || kept.starts_with('~') || kept.starts_with(' '))
    kept.remove_prefix(1);
  while (kept.ends_with('.') || kept.ends_with(' ')) kept.remove_suffix(1);
  std::string result(kept);
  if (result.size() > kMostOctets) {
    const auto dot = result.rfind('.');
    const std::string suffix =
        dot != std::string::npos && result.size() - dot <= 16 ? result.substr(dot) : std::string();
    std::size_t length = kMostOctets - suffix.size();
    while (length > 0 && (static_cast<unsigned char>(result[length]) & 0xC0U) == 0x80U) --length;
    result = result.substr(0, length) + suffix;
  }
  if (result.empty()) return std::string(fallback);
  return is_reserved_name(result) ? "_" + result : result;
}

}  // namespace mail::message
