#include "smtp/extensions.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace mail::smtp {
namespace {

using Settings = ServerSettings;
using Facts = SessionFacts;

constexpr std::uint64_t kLongestHold = 999'999'999;  // RFC 4865 section 4: nine digits

Reply bad_value(const Error& error) { return {501, concat({"5.5.4 ", error.text})}; }

/// The plain rows: the value goes into its field, a bad one is 501.
template <auto Set>
MaybeReply on_mail(std::string_view value, const Settings&, const Facts&, MailArguments& to) {
  if (auto done = Set(to.parameters, value); !done) return bad_value(done.error());
  return {};
}
template <auto Set>
MaybeReply on_rcpt(std::string_view value, const Settings&, const Facts&, RcptArguments& to) {
  if (auto done = Set(to.parameters, value); !done) return bad_value(done.error());
  return {};
}

// SIZE, RFC 1870.
std::string size_arguments(const Settings& settings, const Facts&) { return decimal(settings.message_octets); }
MaybeReply mail_size(std::string_view value, const Settings& settings, const Facts&, MailArguments& to) {
  if (auto done = set_size(to.parameters, value); !done) return bad_value(done.error());
  if (settings.message_octets != 0 && *to.parameters.size > settings.message_octets)
    return Reply{552, "5.3.4 Message is too big"};
  return {};
}

// 8BITMIME, RFC 6152; BINARYMIME is a value of the same parameter, RFC 3030 section 3.
MaybeReply mail_body(std::string_view value, const Settings& settings, const Facts&, MailArguments& to) {
  if (auto done = set_body(to.parameters, value); !done) return bad_value(done.error());
  if (to.parameters.body == Body::binary_mime && !settings.binarymime)
    return Reply{501, "5.5.4 BINARYMIME is not offered"};
  return {};
}

// AUTH=, RFC 4954 section 5: believed only from a client that proved who it is.
std::string auth_arguments(const Settings& settings, const Facts& facts) {
  return join(facts.tls ? settings.auth_under_tls : settings.auth_in_clear, " ");
}
bool auth_announced(const Settings& settings, const Facts& facts) {
  return !(facts.tls ? settings.auth_under_tls : settings.auth_in_clear).empty();
}
MaybeReply mail_auth(std::string_view value, const Settings&, const Facts& facts, MailArguments& to) {
  if (auto done = set_auth(to.parameters, value); !done) return bad_value(done.error());
  if (!facts.authenticated) to.parameters.auth = "<>";
  return {};
}

// LIMITS, RFC 9422.
std::string limits_arguments(const Settings& settings, const Facts&) {
  std::string text = concat({"RCPTMAX=", decimal(settings.recipients)});
  if (settings.transactions != 0) text += concat({" MAILMAX=", decimal(settings.transactions)});
  return text;
}

// FUTURERELEASE, RFC 4865. HOLDFOR and HOLDUNTIL exclude each other.
bool hold_announced(const Settings& settings, const Facts& facts) {
  return settings.hold_seconds != 0 && (settings.mode != Mode::submission || facts.authenticated);
}
std::string hold_arguments(const Settings& settings, const Facts&) {
  const auto seconds = std::min(settings.hold_seconds, kLongestHold);
  // The second argument is the latest HOLDUNTIL; the date is checked against the clock by the caller, who has one.
  return concat(
      {decimal(seconds), " ", settings.hold_until_latest ? settings.hold_until_latest() : "9999-12-31T23:59:59Z"});
}
MaybeReply mail_hold_for(std::string_view value, const Settings& settings, const Facts&, MailArguments& to) {
  if (auto done = set_hold_for(to.parameters, value); !done) return bad_value(done.error());
  if (to.parameters.hold_until) return Reply{501, "5.5.4 HOLDFOR and HOLDUNTIL exclude each other"};
  if (*to.parameters.hold_for_seconds > settings.hold_seconds) return Reply{501, "5.5.4 HOLDFOR is too far ahead"};
  return {};
}
MaybeReply mail_hold_until(std::string_view value, const Settings&, const Facts&, MailArguments& to) {
  if (auto done = set_hold_until(to.parameters, value); !done) return bad_value(done.error());
  if (to.parameters.hold_for_seconds) return Reply{501, "5.5.4 HOLDFOR and HOLDUNTIL exclude each other"};
  return {};
}

// DELIVERBY, RFC 2852.
std::string by_arguments(const Settings& settings, const Facts&) {
  return *settings.by_min == 0 ? std::string{} : decimal(*settings.by_min);
}
MaybeReply mail_by(std::string_view value, const Settings& settings, const Facts&, MailArguments& to) {
  if (auto done = set_by(to.parameters, value); !done) return bad_value(done.error());
  const auto& by = *to.parameters.deliver_by;
  if (by.return_when_late && by.seconds < static_cast<std::int64_t>(*settings.by_min))
    return Reply{501, "5.5.4 BY is shorter than the least time"};
  return {};
}

// REQUIRETLS, RFC 8689: only where the session itself is under TLS.
bool require_tls_announced(const Settings& settings, const Facts& facts) { return settings.requiretls && facts.tls; }

constexpr auto in_clear = [](const Settings& settings, const Facts& facts) { return settings.tls && !facts.tls; };

constexpr std::array kExtensions{
    Extension{.keyword = "8BITMIME", .mail_parameter = "BODY", .on_mail = mail_body},
    Extension{.keyword = "AUTH",
              .announced = auth_announced,
              .arguments = auth_arguments,
              .mail_parameter = "AUTH",
              .on_mail = mail_auth},
    Extension{
        .keyword = "BINARYMIME",
        .announced = [](const Settings& settings, const Facts&) { return settings.binarymime && settings.chunking; }},
    Extension{.keyword = "CHUNKING",
              .announced = [](const Settings& settings, const Facts&) { return settings.chunking; }},
    Extension{.keyword = "DELIVERBY",
              .announced = [](const Settings& settings, const Facts&) { return settings.by_min.has_value(); },
              .arguments = by_arguments,
              .mail_parameter = "BY",
              .on_mail = mail_by},
    Extension{.keyword = "DSN",
              .announced = [](const Settings& settings, const Facts&) { return settings.dsn; },
              .mail_parameter = "RET",
              .on_mail = on_mail<set_ret>,
              .rcpt_parameter = "NOTIFY",
              .on_rcpt = on_rcpt<set_notify>},
    Extension{.keyword = "DSN",
              .announced = [](const Settings& settings, const Facts&) { return settings.dsn; },
              .mail_parameter = "ENVID",
              .on_mail = on_mail<set_envid>,
              .rcpt_parameter = "ORCPT",
              .on_rcpt = on_rcpt<set_orcpt>},
    Extension{.keyword = "ENHANCEDSTATUSCODES"},
    Extension{.keyword = "ETRN", .announced = [](const Settings& settings, const Facts&) { return settings.etrn; }},
    Extension{.keyword = "FUTURERELEASE",
              .announced = hold_announced,
              .arguments = hold_arguments,
              .mail_parameter = "HOLDFOR",
              .on_mail = mail_hold_for},
    Extension{.keyword = "FUTURERELEASE",
              .announced = hold_announced,
              .mail_parameter = "HOLDUNTIL",
              .on_mail = mail_hold_until},
    Extension{.keyword = "HELP"},
    Extension{.keyword = "LIMITS", .arguments = limits_arguments},
    Extension{.keyword = "MT-PRIORITY",
              .announced = [](const Settings& settings, const Facts&) { return settings.mt_priority; },
              .mail_parameter = "MT-PRIORITY",
              .on_mail = on_mail<set_mt_priority>},
    Extension{.keyword = "PIPELINING",
              .announced = [](const Settings& settings, const Facts&) { return settings.pipelining; }},
    Extension{.keyword = "REQUIRETLS",
              .announced = require_tls_announced,
              .mail_parameter = "REQUIRETLS",
              .on_mail = on_mail<set_require_tls>},
    Extension{.keyword = "SIZE", .arguments = size_arguments, .mail_parameter = "SIZE", .on_mail = mail_size},
    Extension{.keyword = "SMTPUTF8",
              .announced = [](const Settings& settings, const Facts&) { return settings.smtputf8; },
              .mail_parameter = "SMTPUTF8",
              .on_mail = on_mail<set_smtputf8>},
    Extension{.keyword = "STARTTLS", .announced = in_clear},
};
static_assert(std::ranges::is_sorted(kExtensions, {}, &Extension::keyword));
static_assert(kExtensions.size() <= 32);

bool announced(const Extension& extension, const Settings& settings, const Facts& facts) {
  return extension.announced == nullptr || extension.announced(settings, facts);
}

/// What MAIL and RCPT share: each word to the row that knows it, each parameter once.
template <class Arguments, class Parameter, class Handler>
MaybeReply read_parameters(std::string_view text, const Settings& settings, const Facts& facts, Arguments& to,
                           Parameter parameter, Handler handler) {
  std::uint32_t seen = 0;
  for (const auto word : split_words(text)) {
    // No structured binding: clang 14 lets no lambda capture one.
    const auto parts = split_once(word, '=');
    const auto keyword = parts.first, value = parts.second;
    const auto row = std::ranges::find_if(kExtensions, [&](const Extension& extension) {
      return !(extension.*parameter).empty() && iequals(extension.*parameter, keyword) &&
             announced(extension, settings, facts);
    });
    // RFC 5321 section 4.1.1.11.
    if (row == kExtensions.end())
      return Reply{555, concat({"5.5.4 Unknown parameter ", printable(keyword.substr(0, 40))})};
    const auto bit = std::uint32_t{1} << (row - kExtensions.begin());
    if (seen & bit) return Reply{501, concat({"5.5.4 ", row->*parameter, " stands twice"})};
    seen |= bit;
    if (auto refusal = (row->*handler)(value, settings, facts, to)) return refusal;
  }
  return {};
}

}  // namespace

std::span<const Extension> extensions() { return kExtensions; }

std::string ehlo_text(const Settings& settings, const Facts& facts, std::string_view greeting) {
  std::string text(greeting);
  std::string_view last;
  for (const auto& extension : kExtensions) {
    if (extension.keyword == last || !announced(extension, settings, facts)) continue;
    last = extension.keyword;
    text.append("\n").append(extension.keyword);
    if (extension.arguments == nullptr) continue;
    if (const auto arguments = extension.arguments(settings, facts); !arguments.empty())
      text.append(" ").append(arguments);
  }
  return text;
}

MaybeReply read_mail_parameters(std::string_view parameters, const Settings& settings, const Facts& facts,
                                MailArguments& to) {
  return read_parameters(parameters, settings, facts, to, &Extension::mail_parameter, &Extension::on_mail);
}

MaybeReply read_rcpt_parameters(std::string_view parameters, const Settings& settings, const Facts& facts,
                                RcptArguments& to) {
  return read_parameters(parameters, settings, facts, to, &Extension::rcpt_parameter, &Extension::on_rcpt);
}

}  // namespace mail::smtp
