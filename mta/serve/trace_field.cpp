#include "mta/serve/trace_field.h"

#include "base/strings.h"
#include "message/date.h"

namespace mail::mta {
namespace {

constexpr std::size_t kMostNameOctets = 255;

/// HELO's argument is anything: in a header field only what a domain or address literal consists of is left.
std::string safe_name(std::string_view name) {
  std::string safe;
  for (const char c : name.substr(0, kMostNameOctets)) {
    const auto octet = static_cast<unsigned char>(c);
    const bool good = is_alnum(octet) || octet >= 0x80 || std::string_view("-._:[]").find(c) != std::string_view::npos;
    safe += good ? c : '?';
  }
  if (safe.empty() || !is_utf8(safe)) return "unknown";
  return safe;
}

}  // namespace

const std::string& date_text(WallTime now) {
  thread_local std::chrono::sys_seconds last{};
  thread_local std::string text;
  const auto second = std::chrono::floor<std::chrono::seconds>(now);
  if (second != last || text.empty()) {
    text = message::format_date(message::local_time(second));
    last = second;
  }
  return text;
}

std::string protocol_word(bool esmtp, bool tls, bool authenticated, bool smtputf8) {
  if (!esmtp && !tls && !authenticated) return "SMTP";
  return concat({smtputf8 ? "UTF8SMTP" : "ESMTP", tls ? "S" : "", authenticated ? "A" : ""});
}

std::string received_field(const TraceField& field, const MessageId& id, WallTime now) {
  const auto name = field.client_name.empty() ? std::string() : concat({safe_name(field.client_name), " "});
  std::string text = concat({"Received: from ", safe_name(field.helo), " (", name, field.client_literal, ")\r\n\tby ",
                             field.host_name, " (Relais) with ", field.protocol, " id ", id.text()});
  if (!field.tls.empty()) text += concat({"\r\n\t(using ", field.tls, ")"});
  if (!field.recipient.empty()) text += concat({"\r\n\tfor <", field.recipient, ">"});
  return text + concat({";\r\n\t", date_text(now), "\r\n"});
}

}  // namespace mail::mta
