#include "smtp/parameters.h"

#include <array>
#include <vector>

#include "base/cursor.h"
#include "base/strings.h"

namespace mail::smtp {
namespace {

tl::unexpected<Error> wrong(std::string_view what) { return fail(Error::Kind::syntax, std::string(what)); }

// esmtp-value (RFC 5321 section 4.1.2): no blanks, no '=', no control characters; UTF-8 with RFC 6531.
bool is_value(std::string_view value) {
  for (const char c : value)
    if (static_cast<unsigned char>(c) <= 32 || c == 127) return false;
  return is_utf8(value);
}

void append(std::string& to, std::string_view keyword, std::string_view value) {
  if (!to.empty()) to += ' ';
  to += keyword;
  if (!value.empty()) to.append("=").append(value);
}

struct MailRow {
  std::string_view keyword;
  Status (*set)(MailParameters&, std::string_view);
};
constexpr std::array kMailRows{
    MailRow{"SIZE", set_size},
    MailRow{"BODY", set_body},
    MailRow{"SMTPUTF8", set_smtputf8},
    MailRow{"RET", set_ret},
    MailRow{"ENVID", set_envid},
    MailRow{"AUTH", set_auth},
    MailRow{"HOLDFOR", set_hold_for},
    MailRow{"HOLDUNTIL", set_hold_until},
    MailRow{"BY", set_by},
    MailRow{"MT-PRIORITY", set_mt_priority},
    MailRow{"REQUIRETLS", set_require_tls},
};
struct RcptRow {
  std::string_view keyword;
  Status (*set)(RcptParameters&, std::string_view);
};
constexpr std::array kRcptRows{
    RcptRow{"NOTIFY", set_notify},
    RcptRow{"ORCPT", set_orcpt},
};

template <class Parameters, class Rows>
Result<Parameters> parse_parameters(std::string_view text, const Rows& rows) {
  Parameters parameters;
  std::uint64_t seen = 0;
  for (const auto word : split_words(text)) {
    const auto [keyword, value] = split_once(word, '=');
    bool known = false;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!iequals(rows[i].keyword, keyword)) continue;
      if (seen >> i & 1) return wrong(concat({"The parameter ", keyword, " stands twice"}));
      seen |= std::uint64_t{1} << i;
      MAIL_CHECK(rows[i].set(parameters, value));
      known = true;
    }
    if (!known) return wrong(concat({"The parameter ", printable(keyword), " is unknown"}));
  }
  return parameters;
}

std::string by_text(const DeliverBy& by) {
  return concat({decimal(by.seconds), ";", by.return_when_late ? "R" : "N", by.trace ? "T" : ""});
}

std::string notify_text(const Notify& notify) {
  if (notify.never()) return "NEVER";
  std::string text;
  for (const auto& [wanted, name] :
       {std::pair{notify.success, "SUCCESS"}, std::pair{notify.failure, "FAILURE"}, std::pair{notify.delay, "DELAY"}}) {
    if (!wanted) continue;
    if (!text.empty()) text += ',';
    text += name;
  }
  return text;
}

// An UTF-8 address stays as it is in the utf-8 address type (RFC 6533 section 3, utf-8-addr-unitext); "=", "+", "\" and
// blanks are \x{HEX}.
std::string to_unitext(std::string_view address) {
  std::string text;
  for (const char c : address) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet <= 32 || octet == 127 || c == '\\' || c == '+' || c == '=')
      text.append("\\x{").append(to_upper(to_hex(std::string_view(&c, 1)))).append("}");
    else
      text += c;
  }
  return text;
}

std::optional<std::string> from_unitext(std::string_view text) {
  std::string address;
  Cursor cursor(text);
  while (!cursor.at_end()) {
    if (!cursor.take("\\x{")) {
      address += static_cast<char>(cursor.peek());
      cursor.skip(1);
      continue;
    }
    const auto digits = cursor.take_while([](unsigned char c) { return is_digit(c) || is_alpha(c); });
    std::uint32_t code_point = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code_point, 16);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() || !cursor.take('}'))
      return std::nullopt;
    if (code_point < 32 || code_point == 127) return std::nullopt;
    append_utf8(address, code_point);
  }
  return address;
}

bool has_control(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 32 || c == 127) return true;
  return false;
}

}  // namespace

std::string to_xtext(std::string_view octets) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const char c : octets) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 33 || octet > 126 || c == '+' || c == '=') {
      text += '+';
      text += kDigits[octet >> 4];
      text += kDigits[octet & 15];
    } else {
      text += c;
    }
  }
  return text;
}

std::optional<std::string> from_xtext(std::string_view text) {
  std::string octets;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto octet = static_cast<unsigned char>(text[i]);
    if (octet < 33 || octet > 126 || text[i] == '=') return std::nullopt;
    if (text[i] != '+') {
      octets += text[i];
      continue;
    }
    const auto decoded = from_hex(text.substr(i + 1, 2));
    if (!decoded || decoded->size() != 1) return std::nullopt;
    octets += *decoded;
    i += 2;
  }
  return octets;
}

Status set_size(MailParameters& parameters, std::string_view value) {
  const auto octets = parse_decimal(value);
  // RFC 1870 section 3: at most 20 digits.
  if (!octets || value.size() > 20) return wrong("SIZE needs a decimal number");
  parameters.size = *octets;
  return {};
}

Status set_body(MailParameters& parameters, std::string_view value) {
  if (iequals(value, "7BIT"))
    parameters.body = Body::seven_bit;
  else if (iequals(value, "8BITMIME"))
    parameters.body = Body::eight_bit_mime;
  else if (iequals(value, "BINARYMIME"))
    parameters.body = Body::binary_mime;
  else
    return wrong("BODY is 7BIT, 8BITMIME or BINARYMIME");
  return {};
}

Status set_smtputf8(MailParameters& parameters, std::string_view value) {
  if (!value.empty()) return wrong("SMTPUTF8 takes no value");
  parameters.smtputf8 = true;
  return {};
}

Status set_ret(MailParameters& parameters, std::string_view value) {
  if (iequals(value, "FULL"))
    parameters.ret = Ret::full;
  else if (iequals(value, "HDRS"))
    parameters.ret = Ret::headers;
  else
    return wrong("RET is FULL or HDRS");
  return {};
}

Status set_envid(MailParameters& parameters, std::string_view value) {
  auto id = from_xtext(value);
  // RFC 3461 section 4.4: 1 to 100 characters, printable when decoded.
  if (!id || id->empty() || value.size() > 100 || has_control(*id))
    return wrong("ENVID needs 1 to 100 characters of xtext");
  parameters.envid = std::move(*id);
  return {};
}

Status set_auth(MailParameters& parameters, std::string_view value) {
  auto mailbox = from_xtext(value);
  if (!mailbox || mailbox->empty() || mailbox->size() > 500 || has_control(*mailbox))
    return wrong("AUTH needs <> or a mailbox as xtext");
  parameters.auth = std::move(*mailbox);
  return {};
}

Status set_hold_for(MailParameters& parameters, std::string_view value) {
  const auto seconds = parse_decimal(value);
  if (!seconds || value.size() > 9) return wrong("HOLDFOR needs seconds, at most 9 digits");
  parameters.hold_for_seconds = *seconds;
  return {};
}

Status set_hold_until(MailParameters& parameters, std::string_view value) {
  // The shape of RFC 3339; the spool turns it into a time.
  constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd";
  if (value.size() < kShape.size() + 1 || value.size() > 35) return wrong("HOLDUNTIL needs an RFC 3339 date and time");
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    const bool fits =
        kShape[i] == 'd' ? is_digit(static_cast<unsigned char>(value[i])) : ascii_upper(value[i]) == kShape[i];
    if (!fits) return wrong("HOLDUNTIL needs an RFC 3339 date and time");
  }
  for (const char c : value.substr(kShape.size()))
    if (!is_digit(static_cast<unsigned char>(c)) && std::string_view(".:+-Zz").find(c) == std::string_view::npos)
      return wrong("HOLDUNTIL needs an RFC 3339 date and time");
  parameters.hold_until = std::string(value);
  return {};
}

Status set_by(MailParameters& parameters, std::string_view value) {
  const auto [seconds, mode] = split_once(value, ';');
  const auto number = parse_decimal<std::int64_t>(seconds.starts_with('+') ? seconds.substr(1) : seconds);
  const bool shape = number && *number <= 999999999 && *number >= -999999999 && !mode.empty() && mode.size() <= 2;
  if (!shape || (mode.size() == 2 && ascii_upper(mode[1]) != 'T')) return wrong("BY needs seconds;N or seconds;R");
  const char letter = ascii_upper(mode[0]);
  if (letter != 'N' && letter != 'R') return wrong("BY needs seconds;N or seconds;R");
  // RFC 2852 section 4.1: with R the time must lie ahead.
  if (letter == 'R' && *number <= 0) return wrong("BY with mode R needs a time ahead");
  parameters.deliver_by = DeliverBy{*number, letter == 'R', mode.size() == 2};
  return {};
}

Status set_mt_priority(MailParameters& parameters, std::string_view value) {
  const auto priority = parse_decimal<int>(value);
  if (!priority || *priority < -9 || *priority > 9) return wrong("MT-PRIORITY is a number from -9 to 9");
  parameters.mt_priority = *priority;
  return {};
}

Status set_require_tls(MailParameters& parameters, std::string_view value) {
  if (!value.empty()) return wrong("REQUIRETLS takes no value");
  parameters.require_tls = true;
  return {};
}

Status set_notify(RcptParameters& parameters, std::string_view value) {
  Notify notify;
  if (iequals(value, "NEVER")) {
    parameters.notify = notify;
    return {};
  }
  for (const auto word : split(value, ',')) {
    bool* const wanted = iequals(word, "SUCCESS")   ? &notify.success
                         : iequals(word, "FAILURE") ? &notify.failure
                         : iequals(word, "DELAY")   ? &notify.delay
                                                    : nullptr;
    if (wanted == nullptr) return wrong("NOTIFY is NEVER or a list of SUCCESS, FAILURE, DELAY");
    *wanted = true;
  }
  parameters.notify = notify;
  return {};
}

Status set_orcpt(RcptParameters& parameters, std::string_view value) {
  const auto [type, encoded] = split_once(value, ';');
  // RFC 3461 section 4.2: at most 500 characters.
  bool good = !type.empty() && type.size() <= 32 && !encoded.empty() && value.size() <= 500 && is_value(value);
  for (const char c : type) good = good && (is_alnum(static_cast<unsigned char>(c)) || c == '-');
  if (!good) return wrong("ORCPT needs address-type;xtext");
  auto address = iequals(type, "utf-8") ? from_unitext(encoded) : from_xtext(encoded);
  if (!address || address->empty() || has_control(*address) || !is_utf8(*address))
    return wrong("ORCPT needs address-type;xtext");
  parameters.orcpt = OriginalRecipient{to_lower(type), std::move(*address)};
  return {};
}

std::string to_string(const MailParameters& parameters) {
  constexpr std::array<std::string_view, 3> kBody{"7BIT", "8BITMIME", "BINARYMIME"};
  std::string text;
  if (parameters.size) append(text, "SIZE", decimal(*parameters.size));
  if (parameters.body) append(text, "BODY", kBody[static_cast<std::size_t>(*parameters.body)]);
  if (parameters.smtputf8) append(text, "SMTPUTF8", {});
  if (parameters.ret) append(text, "RET", *parameters.ret == Ret::full ? "FULL" : "HDRS");
  if (parameters.envid) append(text, "ENVID", to_xtext(*parameters.envid));
  if (parameters.auth) append(text, "AUTH", to_xtext(*parameters.auth));
  if (parameters.hold_for_seconds) append(text, "HOLDFOR", decimal(*parameters.hold_for_seconds));
  if (parameters.hold_until) append(text, "HOLDUNTIL", *parameters.hold_until);
  if (parameters.deliver_by) append(text, "BY", by_text(*parameters.deliver_by));
  if (parameters.mt_priority) append(text, "MT-PRIORITY", decimal(*parameters.mt_priority));
  if (parameters.require_tls) append(text, "REQUIRETLS", {});
  return text;
}

std::string to_string(const RcptParameters& parameters) {
  std::string text;
  if (parameters.notify) append(text, "NOTIFY", notify_text(*parameters.notify));
  if (parameters.orcpt) {
    const auto& original = *parameters.orcpt;
    const auto encoded = original.address_type == "utf-8" ? to_unitext(original.address) : to_xtext(original.address);
    append(text, "ORCPT", concat({original.address_type, ";", encoded}));
  }
  return text;
}

Result<MailParameters> parse_mail_parameters(std::string_view text) {
  return parse_parameters<MailParameters>(text, kMailRows);
}
Result<RcptParameters> parse_rcpt_parameters(std::string_view text) {
  return parse_parameters<RcptParameters>(text, kRcptRows);
}

}  // namespace mail::smtp
