#include "mda/message_text.h"

#include <algorithm>
#include <ctime>

#include "base/strings.h"

namespace mail::mda {
namespace {

/// The line at the start of `rest`, without its end; `rest` is moved behind it.
std::string_view take_line(std::string_view& rest) {
  const auto end = rest.find('\n');
  auto line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string date_text(WallTime now, const char* format) {
  const auto seconds =
      std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(now));
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

std::string_view without_brackets(std::string_view path) {
  path = trim(path);
  return path.starts_with('<') && path.ends_with('>') ? path.substr(1, path.size() - 2) : path;
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out(text);
  std::erase_if(out, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  return out;
}

Trace read_trace(std::string_view message, std::string_view address) {
  Trace trace;
  while (!message.empty()) {
    const auto line = take_line(message);
    if (line.empty()) break;
    if (istarts_with(line, "received:")) ++trace.received;
    if (trace.received > 0 && istarts_with(line, "delivered-to:") &&
        iequals(without_brackets(line.substr(13)), address))
      ++trace.delivered_here;
  }
  return trace;
}

std::string delivered_to_field(std::string_view address) { return concat({"Delivered-To: ", one_line(address), "\n"}); }

std::string delivery_fields(std::string_view reverse_path, std::string_view delivered_to) {
  return concat({"Return-Path: <", one_line(reverse_path), ">\n", delivered_to_field(delivered_to)});
}

std::string received_field(const ReceivedFrom& from, WallTime now) {
  std::string out = concat({"Received: from ", from.helo.empty() ? "unknown" : one_line(from.helo)});
  if (!from.client_address.empty()) out += concat({" ([", from.client_address, "])"});
  out += concat({"\n\tby ", from.host_name, " with ", from.protocol, " id ", from.id});
  if (!from.recipient.empty()) out += concat({"\n\tfor <", one_line(from.recipient), ">"});
  return out + concat({"; ", date_text(now, "%a, %d %b %Y %H:%M:%S +0000"), "\n"});
}

std::string_view without_envelope_lines(std::string_view message, std::string& sender) {
  for (bool first = true;; first = false) {
    auto rest = message;
    const auto line = take_line(rest);
    if (first && line.starts_with("From ")) {
      const auto words = split_words(line);
      if (sender.empty() && words.size() > 1 && words[1] != "MAILER-DAEMON") sender = without_brackets(words[1]);
    } else if (istarts_with(line, "return-path:")) {
      if (sender.empty()) sender = one_line(without_brackets(line.substr(12)));
      while (!rest.empty() && is_space(static_cast<unsigned char>(rest.front()))) take_line(rest);
    } else {
      return message;
    }
    message = rest;
  }
}

std::string with_lf(std::string_view message) {
  std::string out;
  out.reserve(message.size());
  while (!message.empty()) {
    const auto end = message.find("\r\n");
    out.append(message.substr(0, end));
    if (end == std::string_view::npos) break;
    out += '\n';
    message.remove_prefix(end + 2);
  }
  return out;
}

std::string mbox_entry(std::string_view fields, std::string_view message, std::string_view reverse_path, WallTime now) {
  auto sender = one_line(reverse_path);
  std::erase(sender, ' ');
  std::string out = concat(
      {"From ", sender.empty() ? "MAILER-DAEMON" : sender, " ", date_text(now, "%a %b %e %H:%M:%S %Y"), "\n", fields});
  out.reserve(out.size() + message.size() + message.size() / 64 + 2);
  while (!message.empty()) {
    const auto line = take_line(message);
    const auto from = line.find_first_not_of('>');
    if (from != std::string_view::npos && line.substr(from).starts_with("From ")) out += '>';
    out.append(line);
    out += '\n';
  }
  return out + "\n";
}

}  // namespace mail::mda
