// Client's part with mail filters and policy servers: what filters are told, and what both want of the envelope.
#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "mta/serve/client_work.h"

namespace mail::mta {
namespace {

std::string bracketed(std::string_view path) { return concat({"<", path, ">"}); }

/// "<a@b>" or "a@b" from a filter.
Result<smtp::Mailbox> parse_filter_path(std::string_view path) {
  path = trim(path);
  return path.starts_with('<') ? smtp::parse_path(path, {.null = true}) : smtp::parse_mailbox(path);
}

FilterChain::Parameters parameters_of(const smtp::MailParameters& from) {
  FilterChain::Parameters to;
  if (from.size) to.push_back(concat({"SIZE=", decimal(*from.size)}));
  if (from.body)
    to.emplace_back(*from.body == smtp::Body::eight_bit_mime ? "BODY=8BITMIME"
                    : *from.body == smtp::Body::binary_mime  ? "BODY=BINARYMIME"
                                                             : "BODY=7BIT");
  if (from.smtputf8) to.emplace_back("SMTPUTF8");
  return to;
}

}  // namespace

milter::Macros Client::filter_macros() const {
  auto& self = const_cast<Client&>(*this);
  const auto& peer = self.connection().peer();
  const auto name = policy_ && !policy_->confirmed_name().empty() ? policy_->confirmed_name() : std::string("unknown");
  milter::Macros macros{
      {"j", smtp_settings().host_name},
      {"v", "Relais " RELAIS_VERSION},
      {"{daemon_name}", service_ == Service::smtp ? "smtp" : "submission"},
      {"{daemon_addr}", self.connection().local().is_unix() ? "unix" : self.connection().local().ip.to_string()},
      {"{daemon_port}", decimal(self.connection().local().port)},
      {"{client_addr}", client_address_},
      {"{client_name}", name},
      {"{client_port}", decimal(peer.port)},
      {"_", concat({name, " [", client_address_, "]"})},
  };
  if (const auto tls = self.connection().tls_info()) {
    macros.emplace_back("{tls_version}", tls->version);
    macros.emplace_back("{cipher}", tls->cipher);
    macros.emplace_back("{cipher_bits}", decimal(tls->bits));
  }
  if (!user_.empty()) {
    macros.emplace_back("{auth_type}", work_ ? work_->mechanism : std::string());
    macros.emplace_back("{auth_authen}", user_);
  }
  if (work_ && work_->transaction.open()) {
    macros.emplace_back("i", work_->transaction.id().text());
    macros.emplace_back("{mail_addr}", work_->transaction.reverse_path());
  }
  return macros;
}

void Client::open_filters() {
  filters_ = std::make_unique<FilterChain>(loop(), server_.filters());
  policy_->when_named(alive_.guard([this] {
    const auto& peer = connection().peer();
    FilterChain::Peer told{"unknown", {}, peer.port};
    if (!peer.is_unix()) told.address = peer.ip;
    if (!policy_->confirmed_name().empty()) told.name = policy_->confirmed_name();
    filters_->connected(std::move(told), filter_macros(), alive_.guard([this](std::optional<smtp::Reply> refusal) {
      refusal ? refuse_connection(*std::move(refusal)) : greet_when_due();
    }));
  }));
}

void Client::filter_sender(const smtp::MailArguments& mail) {
  work().transaction.keep_asked();
  filters_->sender(bracketed(work().transaction.reverse_path()), parameters_of(mail.parameters), filter_macros(),
                   verdict("mail", work().transaction.reverse_path(), [this] { session_.accept(); }));
}

void Client::filter_recipient(const smtp::RcptArguments& rcpt, route::Route route) {
  const auto address = smtp::to_string(rcpt.forward_path);
  auto macros = filter_macros();
  macros.emplace_back("{rcpt_addr}", address);
  filters_->recipient(
      bracketed(address), {}, std::move(macros),
      verdict("rcpt", address, [this, &rcpt, route = std::move(route)] { take_recipient(rcpt, route); }));
}

void Client::filter_message(std::uint64_t octets) {
  filters_->message(*work().filtered, filter_macros(), alive_.guard([this, octets](std::optional<smtp::Reply> refusal) {
    if (!refusal && !work().filtered->body.status()) {
      log_event(LogLevel::error, "write_failed",
                {{"id", work().transaction.id().text()}, {"text", work().filtered->body.status().error().text}});
      refusal = smtp::Reply{452, "4.3.1 Cannot store the message, try later"};
    }
    if (refusal) {
      refuse("data", *refusal, {});
      work().filtered.reset();
      session_.answer(*refusal);
    } else {
      filtered(octets);
    }
    pump();
  }));
}

/// What is left after the filters goes into the spool.
void Client::filtered(std::uint64_t octets) {
  auto& w = work();
  const auto& changes = filters_->changes();
  const auto id = w.transaction.id().text();
  for (const auto& change : changes.list)
    if (auto refusal = change_envelope(change)) {
      w.filtered.reset();
      return session_.answer(*std::move(refusal));
    }
  if (auto refusal = refuse_without_copies()) {
    w.filtered.reset();
    return session_.answer(*std::move(refusal));
  }
  if (changes.discard || w.transaction.local_count() + w.transaction.remote_count() == 0) return discard();
  if (changes.quarantine) {
    log_event(LogLevel::info, "quarantined", {{"id", id}, {"reason", *changes.quarantine}});
    w.transaction.hold();
  }
  auto message = std::exchange(w.filtered, std::nullopt);
  w.incoming = server_.writer().begin(w.transaction.entries());
  w.incoming->append(message->header.text(received(), message->changed && message->body.octets() != 0));
  constexpr std::size_t kPieceOctets = std::size_t{256} * 1024;
  for (std::uint64_t at = 0; at < message->body.octets();) {
    const auto piece = message->body.read(at, kPieceOctets);
    if (piece.empty()) {
      w.incoming.reset();
      return session_.answer({452, "4.3.1 Cannot store the message, try later"});
    }
    at += piece.size();
    w.incoming->append(piece);
  }
  store(octets);
}

/// @return why the message cannot be taken now: a map cannot be read. What makes no sense is passed over, and logged.
std::optional<smtp::Reply> Client::change_envelope(const milter::Change& change) {
  auto& transaction = work().transaction;
  using Answer = std::optional<smtp::Reply>;
  const auto ignored = [&](std::string_view what, std::string_view path, std::string_view why) -> Answer {
    log_event(LogLevel::warning, "filter_change_ignored",
              {{"id", transaction.id().text()}, {"change", what}, {"address", path}, {"text", why}});
    return {};
  };
  const auto later = [&](std::string_view path, std::string_view why) -> Answer {
    log_event(LogLevel::error, "route_failed", {{"id", transaction.id().text()}, {"to", path}, {"text", why}});
    return smtp::Reply{451, "4.3.0 Cannot look up an address, try later"};
  };
  const auto add = [&](const milter::AddRecipient& e) -> Answer {
    const auto path = parse_filter_path(e.path);
    if (!path) return ignored("add recipient", e.path, path.error().text);
    const auto route = route_entering(smtp::to_string(*path));
    if (!route) return later(e.path, route.error().text);
    if (route->refusal && route->refusal->code < 500) return later(e.path, route->refusal->text);
    if (route->refusal) return ignored("add recipient", e.path, route->refusal->text);
    transaction.add({*path, {}}, *route);
    asked_for(smtp::to_string(*path));
    return {};
  };
  const auto remove = [&](const milter::DeleteRecipient& e) -> Answer {
    const auto path = parse_filter_path(e.path);
    if (!path) return ignored("delete recipient", e.path, path.error().text);
    if (!transaction.remove(smtp::to_string(*path))) return ignored("delete recipient", e.path, "no such recipient");
    return {};
  };
  const auto from = [&](const milter::ChangeFrom& e) -> Answer {
    const auto path = parse_filter_path(e.path);
    if (!path) return ignored("change sender", e.path, path.error().text);
    auto sender = rewritten_sender(smtp::to_string(*path));
    if (!sender) return later(e.path, sender.error().text);
    transaction.set_reverse_path(*std::move(sender));
    return {};
  };
  return std::visit(overloaded{add, remove, from, [](const auto&) { return Answer(); }}, change);
}

/// What the policy server wants of the envelope. @return why the message cannot be taken now
std::optional<smtp::Reply> Client::change_recipients(const ClientPolicy::Wishes& wishes) {
  auto& transaction = work().transaction;
  const auto id = transaction.id().text();
  if (!wishes.redirect.empty()) {
    const auto path = smtp::parse_mailbox(wishes.redirect);
    const auto route = route_entering(wishes.redirect);
    if (!path || !route || route->refusal) {
      log_event(LogLevel::error, "redirect_failed",
                {{"id", id},
                 {"to", wishes.redirect},
                 {"text", !route           ? route.error().text
                          : route->refusal ? route->refusal->text
                                           : "no address"}});
      return smtp::Reply{451, "4.3.5 Cannot send the message where it should go, try later"};
    }
    log_event(LogLevel::info, "redirected",
              {{"id", id}, {"to", wishes.redirect}, {"from", transaction.logged_recipients()}});
    transaction.redirect({*path, {}}, *route);
    asked_for(wishes.redirect);
    if (auto refusal = refuse_without_copies()) return refusal;
  }
  for (const auto& address : wishes.copies)
    if (!add_copy(address)) return smtp::Reply{451, "4.3.0 Cannot look up an address, try later"};
  if (wishes.hold) {
    log_event(LogLevel::info, "quarantined", {{"id", id}, {"reason", "policy server"}});
    transaction.hold();
  }
  return {};
}

}  // namespace mail::mta
