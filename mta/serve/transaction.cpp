#include "mta/serve/transaction.h"

#include <algorithm>

#include "base/strings.h"
#include "message/date.h"

namespace mail::mta {
namespace {

spool::BodyType body_type(std::optional<smtp::Body> body) {
  switch (body.value_or(smtp::Body::seven_bit)) {
    case smtp::Body::eight_bit_mime:
      return spool::BodyType::eight_bit_mime;
    case smtp::Body::binary_mime:
      return spool::BodyType::binary_mime;
    case smtp::Body::seven_bit:
      break;
  }
  return spool::BodyType::seven_bit;
}

spool::Notify notify_of(const std::optional<smtp::Notify>& from) {
  if (!from) return {};
  return {.never = from->never(), .success = from->success, .failure = from->failure, .delay = from->delay};
}

}  // namespace

void Transaction::begin(spool::Envelope envelope, const smtp::MailArguments& mail) {
  reset();
  open_ = true;
  envelope_ = std::move(envelope);
  const auto& parameters = mail.parameters;
  envelope_.reverse_path = smtp::to_string(mail.reverse_path);
  envelope_.body = body_type(parameters.body);
  if (parameters.ret)
    envelope_.return_content =
        *parameters.ret == smtp::Ret::full ? spool::ReturnContent::full : spool::ReturnContent::header_fields;
  envelope_.envelope_id = parameters.envid.value_or("");
  envelope_.smtputf8 = parameters.smtputf8;
  envelope_.require_tls = parameters.require_tls;
  envelope_.priority = parameters.mt_priority.value_or(0);
  if (parameters.hold_for_seconds)
    envelope_.hold_until = envelope_.arrival + std::chrono::seconds(*parameters.hold_for_seconds);
  if (parameters.hold_until)
    if (const auto date = message::parse_date(*parameters.hold_until)) envelope_.hold_until = date->time;
  if (parameters.deliver_by) {
    envelope_.deliver_by = envelope_.arrival + std::chrono::seconds(parameters.deliver_by->seconds);
    envelope_.deliver_by_return = parameters.deliver_by->return_when_late;
  }
}

void Transaction::add(const smtp::RcptArguments& rcpt, const route::Route& route) {
  const auto asked = smtp::to_string(rcpt.forward_path);
  if (++asked_ == 1) first_asked_ = asked;
  if (asked_ <= 10) logged_ += concat({logged_.empty() ? "" : ",", asked});
  if (asked_ == 11) logged_ += ",...";
  if (keep_asked_) kept_.push_back({rcpt, route});
  place(rcpt, route);
}

bool Transaction::remove(std::string_view forward_path) {
  const auto gone = std::erase_if(
      kept_, [&](const Asked& asked) { return iequals(smtp::to_string(asked.rcpt.forward_path), forward_path); });
  if (gone == 0) return false;
  place_all();
  return true;
}

/// What two of them had led to stays where one stays.
void Transaction::place_all() {
  local_.clear(), remote_.clear(), seen_.clear();
  for (const auto& asked : kept_) place(asked.rcpt, asked.route);
  for (const auto& copy : copies_) place_copy(copy);
}

void Transaction::redirect(const smtp::RcptArguments& to, const route::Route& route) {
  kept_.assign(1, {to, route});
  place_all();
  if (!keep_asked_) kept_.clear();
}

void Transaction::place(const smtp::RcptArguments& rcpt, const route::Route& route) {
  const auto asked = smtp::to_string(rcpt.forward_path);
  spool::Recipient recipient;
  recipient.notify = notify_of(rcpt.parameters.notify);
  if (rcpt.parameters.orcpt)
    recipient.original_recipient = concat({rcpt.parameters.orcpt->address_type, ";", rcpt.parameters.orcpt->address});
  else if (route.expanded)
    recipient.original_recipient = concat({is_ascii(asked) ? "rfc822;" : "utf-8;", asked});  // RFC 3461 section 5.2.7.3
  add_targets(std::move(recipient), route);
}

void Transaction::add_copy(const route::Route& route) {
  copies_.push_back(route);
  place_copy(route);
}

void Transaction::place_copy(const route::Route& route) {
  spool::Recipient recipient;
  recipient.notify.never = true;
  add_targets(std::move(recipient), route);
}

void Transaction::add_targets(spool::Recipient recipient, const route::Route& route) {
  for (const auto& target : route.targets) {
    recipient.forward_path = target.forward_path;
    recipient.user.clear();
    recipient.detail.clear();
    const bool remote = std::holds_alternative<route::Remote>(target.destination);
    if (const auto* mailbox = std::get_if<route::LocalMailbox>(&target.destination)) {
      recipient.user = mailbox->user;
      recipient.detail = mailbox->detail;
    }
    // Named twice, or reached by two aliases: one delivery (RFC 5321 section 3.9 leaves it to us).
    if (!seen_.insert(concat({remote ? "r" : "l", recipient.forward_path})).second) continue;
    (remote ? remote_ : local_).push_back(recipient);
  }
}

void Transaction::reset() {
  if (!open_) return;
  *this = Transaction();
}

void Transaction::cap_priority(int most) { envelope_.priority = std::min(envelope_.priority, most); }

void Transaction::found_eight_bit() {
  if (envelope_.body == spool::BodyType::seven_bit) envelope_.body = spool::BodyType::eight_bit_mime;
}

void Transaction::found_tls_optional() { envelope_.tls_optional = !envelope_.require_tls; }

std::vector<spool::Entry> Transaction::entries() const {
  std::vector<spool::Entry> entries;
  const auto add = [&](spool::Box box, const std::vector<spool::Recipient>& recipients) {
    if (recipients.empty()) return;
    auto& entry = entries.emplace_back(spool::Entry{box, envelope_});
    entry.envelope.recipients = recipients;
  };
  if (envelope_.hold_until || hold_) {
    auto all = local_;
    all.insert(all.end(), remote_.begin(), remote_.end());
    add(hold_ ? spool::Box::hold : spool::Box::queue, all);
    return entries;
  }
  add(spool::Box::local, local_);
  add(spool::Box::queue, remote_);
  return entries;
}

}  // namespace mail::mta
