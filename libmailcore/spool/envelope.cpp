#include "spool/envelope.h"

#include <algorithm>
#include <cstdio>

#include "base/strings.h"
#include "spool/format.h"

namespace mail::spool {

namespace {

std::int64_t seconds_of(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}
WallTime from_seconds(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }
/// Times of a spool file lie between 1970 and a second of thirteen digits that still fits into WallTime's 64 bits of
/// microseconds, with room for what is added to it.
constexpr std::int64_t kLastSecond = 9'000'000'000'000;
bool is_second(std::int64_t seconds) { return seconds >= 0 && seconds <= kLastSecond; }

std::string notify_text(const Notify& notify) {
  if (notify.never) return "NEVER";
  std::string out;
  for (const auto& [set, word] :
       {std::pair{notify.success, "SUCCESS"}, {notify.failure, "FAILURE"}, {notify.delay, "DELAY"}})
    if (set) out.append(out.empty() ? "" : ",").append(word);
  return out;
}

std::optional<Notify> parse_notify(std::string_view text) {
  Notify notify;
  for (const auto word : split(text, ',')) {
    if (word == "NEVER")
      notify.never = true;
    else if (word == "SUCCESS")
      notify.success = true;
    else if (word == "FAILURE")
      notify.failure = true;
    else if (word == "DELAY")
      notify.delay = true;
    else
      return std::nullopt;
  }
  if (notify.never && (notify.success || notify.failure || notify.delay)) return std::nullopt;  // RFC 3461 section 4.1
  return notify;
}

void parameter(std::string& out, std::string_view key, std::string_view value) {
  if (!value.empty()) out.append(" ").append(key).append("=").append(quote_word(value));
}

void print_from(std::string& out, const Envelope& e) {
  out.append("from ").append(quote_word(e.reverse_path));
  if (e.body == BodyType::eight_bit_mime) out.append(" BODY=8BITMIME");
  if (e.body == BodyType::binary_mime) out.append(" BODY=BINARYMIME");
  if (e.smtputf8) out.append(" SMTPUTF8");
  if (e.return_content == ReturnContent::full) out.append(" RET=FULL");
  if (e.return_content == ReturnContent::header_fields) out.append(" RET=HDRS");
  parameter(out, "ENVID", e.envelope_id);
  if (e.require_tls) out.append(" REQUIRETLS");
  if (e.tls_optional) out.append(" TLS-OPTIONAL");
  if (e.priority != 0) parameter(out, "MT-PRIORITY", decimal(e.priority));
  if (e.hold_until) parameter(out, "HOLDUNTIL", decimal(seconds_of(*e.hold_until)));
  if (e.deliver_by)
    parameter(out, "BY", concat({decimal(seconds_of(*e.deliver_by)), e.deliver_by_return ? ";R" : ";N"}));
  out.append("\n");
}

bool from_parameter(Envelope& e, std::string_view key, const std::string& value) {
  if (key == "BODY") {
    e.body = value == "8BITMIME" ? BodyType::eight_bit_mime : BodyType::binary_mime;
    return value == "8BITMIME" || value == "BINARYMIME";
  }
  if (key == "SMTPUTF8") return e.smtputf8 = true;
  if (key == "REQUIRETLS") return e.require_tls = true;
  if (key == "TLS-OPTIONAL") return e.tls_optional = true;
  if (key == "ENVID") return e.envelope_id = value, true;
  if (key == "RET") {
    e.return_content = value == "FULL" ? ReturnContent::full : ReturnContent::header_fields;
    return value == "FULL" || value == "HDRS";
  }
  if (key == "MT-PRIORITY") {
    const auto priority = parse_decimal<int>(value);
    e.priority = priority.value_or(0);
    return priority && *priority >= -9 && *priority <= 9;
  }
  if (key == "HOLDUNTIL" || key == "BY") {
    const auto [number, mode] = split_once(value, ';');
    const auto seconds = parse_decimal<std::int64_t>(number);
    if (!seconds || !is_second(*seconds)) return false;
    (key == "BY" ? e.deliver_by : e.hold_until) = from_seconds(*seconds);
    if (key == "BY") e.deliver_by_return = mode == "R";
    return true;
  }
  return false;
}

bool recipient_parameter(Recipient& r, std::string_view key, const std::string& value) {
  if (key == "NOTIFY") {
    const auto notify = parse_notify(value);
    r.notify = notify.value_or(Notify{});
    return notify.has_value();
  }
  if (key == "ORCPT") return r.original_recipient = value, true;
  if (key == "USER") return r.user = value, true;
  if (key == "DETAIL") return r.detail = value, true;
  return false;
}

/// Gives each `KEY=VALUE` or `KEY` of `words`, from the `first` on, to `take`; false where one is refused.
template <class Take>
bool parameters(const std::vector<std::string_view>& words, std::size_t first, Take take) {
  for (std::size_t i = first; i < words.size(); ++i) {
    const auto [key, quoted] = split_once(words[i], '=');
    const auto value = unquote_word(quoted);
    if (!value || !take(key, *value)) return false;
  }
  return true;
}

bool is_state(std::string_view word) {
  return word.size() == 1 && std::string_view("wydsfb").find(word[0]) != std::string_view::npos;
}

/// Reads one line into the envelope; the key is its first word.
bool parse_line(Envelope& e, const std::vector<std::string_view>& words) {
  const auto word = [&](std::size_t i, std::string& into) {
    auto value = i < words.size() ? unquote_word(words[i]) : std::nullopt;
    if (value) into = std::move(*value);
    return value.has_value();
  };
  const auto key = words[0];
  if (key == "id" && words.size() == 2) {
    const auto id = MessageId::parse(words[1]);
    if (id) e.id = *id;
    return id.has_value();
  }
  if (key == "arrival" && words.size() == 2) {
    const auto micros = parse_decimal<std::int64_t>(words[1]);
    if (!micros || *micros < 0 || !is_second(*micros / 1'000'000)) return false;
    e.arrival = WallTime(std::chrono::microseconds(*micros));
    return true;
  }
  if (key == "client" && words.size() == 4)
    return word(1, e.client_name) && word(2, e.client_address) && word(3, e.helo);
  if (key == "protocol" && words.size() == 3) return word(1, e.protocol) && word(2, e.authenticated_user);
  if (key == "from" && words.size() >= 2)
    return word(1, e.reverse_path) &&
           parameters(words, 2, [&](auto k, const auto& v) { return from_parameter(e, k, v); });
  if (key == "rcpt" && words.size() >= 3 && is_state(words[1])) {
    auto& r = e.recipients.emplace_back();
    r.state = static_cast<RecipientState>(words[1][0]);
    return word(2, r.forward_path) &&
           parameters(words, 3, [&](auto k, const auto& v) { return recipient_parameter(r, k, v); });
  }
  return false;
}

bool parse_retry(Envelope& e, std::string_view line) {
  if (line.size() + 1 != kRetryLineOctets || !line.starts_with("retry ") || line[19] != ' ') return false;
  const auto at = parse_decimal<std::int64_t>(line.substr(6, 13));
  const auto attempts = parse_decimal<std::uint32_t>(line.substr(20, 5));
  if (!at || !is_second(*at) || !attempts) return false;
  e.next_attempt = from_seconds(*at);
  e.attempts = *attempts;
  return true;
}

}  // namespace

bool Envelope::any_open() const {
  return std::ranges::any_of(recipients, [](const Recipient& r) { return is_open(r.state); });
}

std::string quote_word(std::string_view value) {
  if (value.empty()) return "-";
  if (value == "-") return "%2D";
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet <= ' ' || octet == '%' || octet == 0x7f) {
      out += '%';
      out += kHex[octet >> 4];
      out += kHex[octet & 15];
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unquote_word(std::string_view word) {
  if (word == "-") return std::string();
  std::string out;
  out.reserve(word.size());
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '%') {
      out += word[i];
      continue;
    }
    if (i + 2 >= word.size()) return std::nullopt;
    const auto octet = from_hex(word.substr(i + 1, 2));
    if (!octet) return std::nullopt;
    out += *octet;
    i += 2;
  }
  return out;
}

std::string retry_line(WallTime next_attempt, std::uint32_t attempts) {
  char line[64];
  const auto at = std::clamp<std::int64_t>(seconds_of(next_attempt), 0, kLastSecond);
  std::snprintf(line, sizeof line, "retry %013lld %05u\n", static_cast<long long>(at), std::min(attempts, 99999U));
  return line;
}

std::string print(const Envelope& e) {
  std::string out;
  out.reserve(256 + e.recipients.size() * 48);
  out.append(retry_line(e.next_attempt, e.attempts));
  out.append("id ").append(e.id.text()).append("\narrival ").append(decimal(e.arrival.time_since_epoch().count()));
  out.append("\nclient ").append(quote_word(e.client_name)).append(" ").append(quote_word(e.client_address));
  out.append(" ").append(quote_word(e.helo));
  out.append("\nprotocol ")
      .append(quote_word(e.protocol))
      .append(" ")
      .append(quote_word(e.authenticated_user))
      .append("\n");
  print_from(out, e);
  for (const auto& r : e.recipients) {
    out.append("rcpt ").append(1, static_cast<char>(r.state)).append(" ").append(quote_word(r.forward_path));
    parameter(out, "NOTIFY", notify_text(r.notify));
    parameter(out, "ORCPT", r.original_recipient);
    parameter(out, "USER", r.user);
    parameter(out, "DETAIL", r.detail);
    out.append("\n");
  }
  out.append("\n");
  return out;
}

Result<Envelope> parse_envelope(std::string_view text) {
  Envelope envelope;
  std::size_t number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos)
      return fail(Error::Kind::syntax, "spool file: the envelope's last line has no end");
    const auto line = text.substr(0, end);
    text.remove_prefix(end + 1);
    ++number;
    if (line.empty()) {
      if (!text.empty()) return fail(Error::Kind::syntax, "spool file: the envelope goes on after its empty line");
      if (!envelope.id) return fail(Error::Kind::syntax, "spool file: the envelope has no id");
      return envelope;
    }
    const bool taken = number == 1 ? parse_retry(envelope, line) : parse_line(envelope, split(line, ' '));
    if (!taken)
      return fail(Error::Kind::syntax,
                  concat({"spool file: line ", decimal(number + 1), " of the envelope is not understood"}));
  }
  return fail(Error::Kind::syntax, "spool file: the envelope has no end");
}

std::vector<std::uint32_t> state_offsets(std::string_view text) {
  std::vector<std::uint32_t> offsets;
  std::size_t line = 0;
  while (line < text.size()) {
    if (text.substr(line).starts_with("rcpt ")) offsets.push_back(static_cast<std::uint32_t>(line + 5));
    const auto end = text.find('\n', line);
    if (end == std::string_view::npos) break;
    line = end + 1;
  }
  return offsets;
}

}  // namespace mail::spool
