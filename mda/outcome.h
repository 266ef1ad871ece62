// What became of one delivery, in the words of all who ask: SMTP replies, exit codes, spool states.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace mail::mda {

struct Outcome {
  enum class Kind { delivered, temporary, permanent } kind = Kind::delivered;
  std::string status = "2.0.0";  ///< Enhanced status code.
  std::string text = "Delivered";
  bool flushed = true;  ///< False: in the mailbox, durable after Agent::flush().
  bool once = false;    ///< A repetition would not be recognised: a program ran, an mbox file grew, mail was sent on.
  bool ok() const { return kind == Kind::delivered; }
};
inline Outcome temporary(std::string status, std::string text) {
  return {Outcome::Kind::temporary, std::move(status), std::move(text), true, false};
}
inline Outcome permanent(std::string status, std::string text) {
  return {Outcome::Kind::permanent, std::move(status), std::move(text), true, false};
}
/// Of an error of store, spool or directory: what is refused or wrong may be put right by an operator, so that mail
/// waits; nothing of it is the sender's fault.
inline Outcome outcome_of(const Error& error) { return temporary("4.3.0", error.text); }

/// The exit code of pipe mode (sysexits.h).
inline int exit_code(const Outcome& outcome) {
  if (outcome.ok()) return 0;
  if (outcome.kind == Outcome::Kind::temporary) return 75;                      // EX_TEMPFAIL
  return outcome.status == "5.1.1" ? 67 : outcome.status == "5.7.1" ? 77 : 69;  // EX_NOUSER, EX_NOPERM, EX_UNAVAILABLE
}

/// Of two deliveries for one recipient the worse one counts: what may still succeed is tried again as a whole.
inline Outcome worse(Outcome a, Outcome b) {
  const auto rank = [](const Outcome& o) {
    return o.kind == Outcome::Kind::temporary ? 2 : o.kind == Outcome::Kind::permanent ? 1 : 0;
  };
  const bool flushed = a.flushed && b.flushed, once = a.once || b.once;
  auto& worst = rank(b) > rank(a) ? b : a;
  worst.flushed = flushed, worst.once = once;
  return std::move(worst);
}

}  // namespace mail::mda
