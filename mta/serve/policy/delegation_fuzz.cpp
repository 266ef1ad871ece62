#include <algorithm>
#include <cstdlib>

#include "base/strings.h"
#include "mta/serve/policy/delegation.h"
#include "smtp/path.h"

namespace {
constexpr std::size_t kMostReplyLine = 512;  // RFC 5321 section 4.5.3.1.5
}

/// Whatever a policy server says: a reply that is one, addresses that are addresses, and a header field of one line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail;
  const std::string octets(reinterpret_cast<const char*>(data), size);
  const auto action = mta::action_of(octets);
  const auto answer = mta::parse_action(action ? *action : std::string_view(octets));
  const auto is_control = [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; };
  if (answer.refusal) {
    const auto wire = smtp::to_wire(*answer.refusal);
    if (answer.refusal->code < 400 || answer.refusal->code > 599 || !wire.ends_with("\r\n") ||
        wire.size() > kMostReplyLine || wire.find('\n') + 1 != wire.size())
      std::abort();
  }
  for (const auto* address : {&answer.redirect, &answer.bcc})
    if (!address->empty() && !smtp::parse_mailbox(*address)) std::abort();
  if (std::ranges::any_of(answer.prepend, is_control) || std::ranges::any_of(answer.remark, is_control) ||
      std::ranges::any_of(answer.ignored, is_control))
    std::abort();
  // What we say is one line for each name, whoever sent it.
  mta::DelegationQuestion question;
  question.helo = question.sender = question.recipient = question.user = question.client_name = octets;
  const auto wire = mta::to_wire(question);
  if (std::ranges::count(wire, '\n') != 17 || !wire.ends_with("\n\n")) std::abort();
  return 0;
}
