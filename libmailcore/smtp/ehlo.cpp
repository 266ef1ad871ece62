// What a client reads in the reply to EHLO: one row per keyword.
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "smtp/extensions.h"

namespace mail::smtp {
namespace {

using Words = std::vector<std::string_view>;  // behind the keyword

template <bool Offered::*Flag>
void flag(Offered& offered, const Words&) {
  offered.*Flag = true;
}

void size(Offered& offered, const Words& words) {
  offered.size = true;
  if (!words.empty()) offered.size_octets = parse_decimal(words[0]).value_or(0);
}

void auth(Offered& offered, const Words& words) {
  for (const auto word : words) {
    auto name = to_upper(word);
    if (std::ranges::find(offered.auth, name) == offered.auth.end()) offered.auth.push_back(std::move(name));
  }
}

void deliver_by(Offered& offered, const Words& words) {
  offered.deliver_by = true;
  if (!words.empty()) offered.by_min = parse_decimal(words[0]).value_or(0);
}

void future_release(Offered& offered, const Words& words) {
  if (!words.empty()) offered.hold_seconds = parse_decimal(words[0]).value_or(0);
}

void limits(Offered& offered, const Words& words) {
  for (const auto word : words) {
    const auto [name, value] = split_once(word, '=');
    const auto number = parse_decimal(value);
    if (!number || *number == 0) continue;
    if (iequals(name, "RCPTMAX")) offered.recipients = *number;
    if (iequals(name, "MAILMAX")) offered.transactions = *number;
    if (iequals(name, "RCPTDOMAINMAX")) offered.recipient_domains = *number;
  }
}

struct Keyword {
  std::string_view name;
  void (*read)(Offered&, const Words&);
};
constexpr std::array kKeywords{
    Keyword{"8BITMIME", flag<&Offered::eight_bit_mime>},
    Keyword{"AUTH", auth},
    Keyword{"BINARYMIME", flag<&Offered::binarymime>},
    Keyword{"CHUNKING", flag<&Offered::chunking>},
    Keyword{"DELIVERBY", deliver_by},
    Keyword{"DSN", flag<&Offered::dsn>},
    Keyword{"ENHANCEDSTATUSCODES", flag<&Offered::enhanced_status_codes>},
    Keyword{"ETRN", flag<&Offered::etrn>},
    Keyword{"FUTURERELEASE", future_release},
    Keyword{"LIMITS", limits},
    Keyword{"MT-PRIORITY", flag<&Offered::mt_priority>},
    Keyword{"PIPELINING", flag<&Offered::pipelining>},
    Keyword{"REQUIRETLS", flag<&Offered::requiretls>},
    Keyword{"SIZE", size},
    Keyword{"SMTPUTF8", flag<&Offered::smtputf8>},
    Keyword{"STARTTLS", flag<&Offered::starttls>},
};

}  // namespace

Offered parse_ehlo(const Reply& reply) {
  Offered offered;
  offered.esmtp = true;
  auto lines = split(reply.text, '\n');
  for (std::size_t i = 1; i < lines.size(); ++i) {
    auto words = split_words(lines[i]);
    if (words.empty()) continue;
    // "AUTH=LOGIN PLAIN": servers of the draft's time.
    const bool old_auth = istarts_with(words[0], "AUTH=");
    const std::string_view name = old_auth ? std::string_view("AUTH") : words[0];
    if (old_auth)
      words[0].remove_prefix(5);
    else
      words.erase(words.begin());
    const auto row = std::ranges::find_if(kKeywords, [&](const Keyword& known) { return iequals(known.name, name); });
    if (row != kKeywords.end()) row->read(offered, words);
  }
  return offered;
}

}  // namespace mail::smtp
