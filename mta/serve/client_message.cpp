// Client's part with a message: from DATA or BDAT to the reply that takes it.
#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "message/address.h"
#include "message/header.h"
#include "message/tls_required.h"
#include "mta/serve/client_work.h"
#include "mta/serve/trace_field.h"

namespace mail::mta {
namespace {

bool has_eight_bit(std::string_view octets) {
  return std::ranges::any_of(octets, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

}  // namespace

/// Somebody may get a copy because of this recipient: add_copies() asks.
void Client::asked_for(std::string address) {
  if (const auto* rewriting = server_.router().rewriting(); rewriting != nullptr && rewriting->gives_copies())
    work().asked.push_back(std::move(address));
}

Status Client::add_copies() {
  auto& w = work();
  const auto* rewriting = server_.router().rewriting();
  if (w.asked.empty() || rewriting == nullptr) return {};
  MAIL_TRY(copies, rewriting->copies(w.transaction.reverse_path(), w.asked));
  for (const auto& address : copies) MAIL_CHECK(add_copy(address));
  w.asked.clear();
  return {};
}

std::optional<smtp::Reply> Client::refuse_without_copies() {
  const auto added = add_copies();
  if (added) return {};
  log_event(LogLevel::error, "rewrite_failed", {{"text", added.error().text}});
  return smtp::Reply{451, "4.3.0 Cannot look up an address, try later"};
}

/// An address that refuses mail costs only the copy.
Status Client::add_copy(const std::string& address) {
  auto& transaction = work().transaction;
  MAIL_TRY(route, route_entering(address));
  if (route.refusal)
    log_event(LogLevel::error, "copy-refused",
              {{"id", transaction.id().text()}, {"to", address}, {"text", route.refusal->text}});
  else
    transaction.add_copy(route);
  return {};
}

void Client::begin_message() {
  auto& w = work();
  if (auto refusal = refuse_without_copies()) return session_.answer(*std::move(refusal));
  w.refusal.reset();
  w.header.begin(settings().smtp.header_octets);
  w.transaction.set_protocol(
      protocol_word(session_.esmtp(), session_.tls(), session_.authenticated(), w.transaction.envelope().smtputf8));
  w.filtered.reset();
  if (filters_)
    w.filtered.emplace(FilteredMessage{{}, server_.hold_body()});
  else
    w.incoming = server_.writer().begin(w.transaction.entries());
  w.look_for_eight_bit = w.transaction.has_remote() && w.transaction.envelope().body == spool::BodyType::seven_bit;
  w.eight_bit = false;
  ask_policy(&ClientPolicy::data, policy_question(), "data", [this] {
    if (!filters_) return session_.accept();
    filters_->data(filter_macros(), verdict("data", {}, [this] { session_.accept(); }));
  });
}

void Client::add_octets(std::string_view octets) {
  auto& w = work();
  if (w.refusal || (!w.incoming && !w.filtered)) return;
  if (w.look_for_eight_bit && !w.eight_bit) w.eight_bit = has_eight_bit(octets);
  if (!w.header.whole()) {
    octets = w.header.feed(octets);
    if (!w.header.whole()) return;
    header_whole();
    if (w.refusal) return;
  }
  w.filtered ? w.filtered->body.append(octets) : w.incoming->append(octets);
}

void Client::drop_message(smtp::Reply refusal) {
  work().incoming.reset();
  work().filtered.reset();
  work().refusal = std::move(refusal);
}

void Client::header_whole() {
  auto& w = work();
  if (w.header.too_large()) return drop_message({552, "5.3.4 The message's header is too big"});
  std::string_view header = w.header.header();
  if (auto refusal = refuse_header(header)) return drop_message(*std::move(refusal));
  std::optional<std::string> rewritten;
  if (const auto* rewriting = server_.router().rewriting(); rewriting != nullptr && trusted()) {
    auto done = rewriting->header(header);
    if (!done) return drop_message({451, "4.3.0 Cannot look up an address, try later"});
    rewritten = *std::move(done);
    if (rewritten) header = *rewritten;
  }
  auto added = session_.authenticated() ? added_fields(header) : std::string();
  if (policy_) added.insert(0, policy_->wishes().prepend);
  if (message::tls_is_optional(header)) {
    w.transaction.found_tls_optional();
    if (w.incoming) w.incoming->set_entries(w.transaction.entries());
  }
  if (w.filtered) {
    w.filtered->header = milter::HeaderList(header);
    w.filtered->header.prepend(added);
  } else {
    w.incoming->append(received());
    w.incoming->append(added);
    w.incoming->append(header);
  }
  w.header.release();
}

std::string Client::received() {
  const auto tls = connection().tls_info();
  const auto tls_text = tls ? concat({tls->version, " ", tls->cipher}) : std::string();
  const auto literal = connection().peer().is_unix() ? std::string("unix") : connection().peer().ip.to_literal();
  const auto& transaction = work().transaction;
  const auto& envelope = transaction.envelope();
  return received_field({.helo = helo_,
                         .client_name = policy_ ? policy_->confirmed_name() : std::string(),
                         .client_literal = literal,
                         .host_name = smtp_settings().host_name,
                         .protocol = envelope.protocol,
                         .tls = tls_text,
                         .recipient = transaction.only_recipient()},
                        envelope.id, envelope.arrival);
}

std::optional<smtp::Reply> Client::refuse_header(std::string_view header) {
  const message::HeaderFields fields(header);
  // RFC 5321 section 6.3: a hundred at least are let pass by the standard; the setting says how many here.
  if (fields.count("Received") > settings().smtp.received_limit)
    return smtp::Reply{554, "5.4.6 The message goes round in circles"};
  const auto& user = work().user;
  if (!user || !settings().smtp.check_from) return {};
  for (const auto& field : fields) {
    if (!iequals(field.name, "From") && !iequals(field.name, "Sender")) continue;
    for (const auto& mailbox : message::parse_mailboxes(field.value))
      if (!server_.belongs_to(*user, message::addr_spec(mailbox)))
        return smtp::Reply{550, concat({"5.7.1 The address in the ", field.name, " field is not yours"})};
  }
  return {};
}

/// What a submission server completes (RFC 6409 section 8).
std::string Client::added_fields(std::string_view header) {
  const message::HeaderFields fields(header);
  const auto& envelope = work().transaction.envelope();
  std::string added;
  if (!fields.find("Date")) added += concat({"Date: ", date_text(envelope.arrival), "\r\n"});
  if (!fields.find("Message-ID"))
    added +=
        concat({"Message-ID: <", envelope.id.text(), ".", random_token(8), "@", smtp_settings().host_name, ">\r\n"});
  return added;
}

void Client::end_message(std::uint64_t octets) {
  auto& w = work();
  if (!w.refusal && (w.incoming || w.filtered) && !w.header.whole()) {
    // No empty line: all of it is header (or, without any field, a text of lines).
    w.header.finish();
    header_whole();
  }
  if (w.refusal) {
    refuse("data", *w.refusal, {});
    return session_.answer(*std::exchange(w.refusal, std::nullopt));
  }
  auto question = policy_question();
  question.size = octets;
  ask_policy(&ClientPolicy::end_of_message, question, "data", [this, octets] { end_accepted(octets); });
}

/// The message is whole, and nothing of our own is against it.
void Client::end_accepted(std::uint64_t octets) {
  auto& w = work();
  if (policy_ && policy_->wishes().discard) return discard();
  if (policy_ && policy_->wishes().changes_envelope()) {
    if (auto refusal = change_recipients(policy_->wishes())) {
      w.incoming.reset();
      w.filtered.reset();
      return session_.answer(*std::move(refusal));
    }
    if (w.incoming) w.incoming->set_entries(w.transaction.entries());
  }
  w.filtered ? filter_message(octets) : store(octets);
}

void Client::discard() {
  auto& w = work();
  const auto id = w.transaction.id().text();
  log_event(LogLevel::info, "discarded",
            {{"id", id}, {"from", w.transaction.reverse_path()}, {"to", w.transaction.logged_recipients()}});
  w.incoming.reset();
  w.filtered.reset();
  session_.answer({250, concat({"2.0.0 OK queued as ", id})});
}

void Client::store(std::uint64_t octets) {
  auto& w = work();
  if (w.eight_bit) {
    w.transaction.found_eight_bit();
    w.incoming->set_entries(w.transaction.entries());
  }
  auto& here = loop();
  auto answer =
      alive_.guard([this, id = w.transaction.id(), octets](const Status& status) { committed(id, octets, status); });
  spool::Incoming::commit(std::move(w.incoming), {}, [&here, answer = std::move(answer)](Status status) mutable {
    here.post([answer = std::move(answer), status = std::move(status)]() mutable { answer(status); });
  });
}

void Client::committed(const MessageId& id, std::uint64_t octets, const Status& status) {
  auto& transaction = work().transaction;
  if (!status) {
    log_event(LogLevel::error, "write_failed",
              {{"id", id.text()}, {"client", client_address_}, {"text", status.error().text}});
    session_.answer({452, "4.3.1 Cannot store the message, try later"});
    return pump();
  }
  log_event(LogLevel::info, "accepted",
            {{"id", id.text()},
             {"from", transaction.reverse_path()},
             {"to", transaction.logged_recipients()},
             {"client", client_address_},
             {"helo", helo_},
             {"user", user_},
             {"protocol", transaction.envelope().protocol},
             {"octets", octets},
             {"local", transaction.local_count()},
             {"queue", transaction.remote_count()}});
  session_.answer({250, concat({"2.0.0 OK queued as ", id.text()})});
  pump();
}

}  // namespace mail::mta
