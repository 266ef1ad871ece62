#include "message/header.h"

#include <algorithm>
#include <cstring>

#include "base/strings.h"

namespace mail::message {

namespace {

/// Octets up to and with the next LF, or all.
std::size_t line_octets(std::string_view text) {
  if (text.empty()) return 0;
  const auto* end = static_cast<const char*>(std::memchr(text.data(), '\n', text.size()));
  return end == nullptr ? text.size() : static_cast<std::size_t>(end - text.data()) + 1;
}

bool is_empty_line(std::string_view line) { return line == "\n" || line == "\r\n"; }

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

void HeaderFields::Iterator::next() {
  done_ = true;
  if (rest_.empty()) return;
  std::size_t octets = line_octets(rest_);
  if (is_empty_line(rest_.substr(0, octets))) return;
  while (octets < rest_.size() && is_space(static_cast<unsigned char>(rest_[octets])))
    octets += line_octets(rest_.substr(octets));
  done_ = false;
  field_.raw = rest_.substr(0, octets);
  rest_.remove_prefix(octets);
  const auto all = without_line_end(field_.raw);
  const auto colon = all.find(':');
  const auto line_end = all.find('\n');
  if (colon == std::string_view::npos || colon == 0 || (line_end != std::string_view::npos && colon > line_end)) {
    field_.name = {};
    field_.value = all;
    return;
  }
  field_.name = all.substr(0, colon);
  while (!field_.name.empty() && is_space(static_cast<unsigned char>(field_.name.back()))) field_.name.remove_suffix(1);
  if (!is_field_name(field_.name)) {  // "From ann@example.net Mon Jan  1 00:00:00" of an mbox, or garbage
    field_.name = {};
    field_.value = all;
    return;
  }
  field_.value = all.substr(colon + 1);
}

std::optional<std::string_view> HeaderFields::find(std::string_view name) const {
  for (const auto& field : *this)
    if (iequals(field.name, name)) return field.value;
  return std::nullopt;
}

std::size_t HeaderFields::count(std::string_view name) const {
  std::size_t found = 0;
  for (const auto& field : *this) found += iequals(field.name, name) ? 1 : 0;
  return found;
}

std::string_view header_of(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto octets = line_octets(text.substr(at));
    const bool empty = is_empty_line(text.substr(at, octets));
    at += octets;
    if (empty) break;
  }
  return text.substr(0, at);
}

std::string_view body_of(std::string_view text) { return text.substr(header_of(text).size()); }

void append_unfolded(std::string& to, std::string_view value) {
  value = trim(value);
  while (!value.empty()) {
    std::size_t length = 0;
    while (length < value.size() && value[length] != '\r' && value[length] != '\n' && value[length] != '\0') ++length;
    to += value.substr(0, length);
    value.remove_prefix(length);
    if (value.empty()) return;
    const std::size_t end = value.starts_with("\r\n") ? 2 : 1;
    const bool fold = value[end - 1] == '\n' && value.size() > end && is_space(static_cast<unsigned char>(value[end]));
    if (!fold) to += ' ';
    value.remove_prefix(end);
  }
}

std::string unfold(std::string_view value) {
  std::string out;
  append_unfolded(out, value);
  return out;
}

bool is_field_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c > ' ' && c != 0x7F && c != ':'; });
}

}  // namespace mail::message
