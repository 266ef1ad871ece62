// The part of an expansion that the operator's maps decide: virtual addresses, and by which transport mail goes on.
#include "base/log.h"
#include "base/strings.h"
#include "route/expansion.h"

namespace mail::route {

using config::Transport;

void Router::Expansion::note(std::initializer_list<std::string_view> words) {
  if (context_.why != nullptr) context_.why->push_back(concat(words));
}

/// Follows the virtual maps; `catch_all`: their @domain counts too. @return false where they say nothing.
Result<bool> Router::Expansion::add_virtual(const Address& address, int depth, bool catch_all) {
  const auto* rewriting = router_.options_.rewriting.get();
  if (rewriting == nullptr || rewriting->virtual_maps().empty()) return false;
  const auto& maps = rewriting->virtual_maps();
  const bool local = router_.is_local_domain(address.domain);
  MAIL_TRY(hit, find_address(maps, to_lower(address.name), address.domain, rewriting->delimiter(), local));
  if (!hit && catch_all) {
    MAIL_TRY(all, maps.find("@" + address.domain));
    if (all) hit = AddressHit{std::move(all->value), std::move(all->rule), {}};
  }
  if (!hit) return false;
  if (depth >= router_.options_.most_depth) return loop(address), true;
  note({"virtual: ", hit->rule, " -> ", hit->value});
  auto targets = directory::parse_alias_targets(hit->value);
  if (!targets) return fail(Error::Kind::temporary, concat({hit->rule, ": ", targets.error().text}));
  for (auto& target : *targets) {
    if (target.text.find('@') == std::string::npos && !local) target.text += "@" + router_.default_domain();
    if (!target.text.starts_with('@')) target.text = with_extension(std::move(target.text), hit->extension);
  }
  route_.expanded = route_.ours = true;
  const auto key = to_lower(address.text());
  active_.insert(key);
  const auto status = add_targets(*targets, address, depth + 1, true);
  active_.erase(key);
  MAIL_CHECK(status);
  return true;
}

Status Router::Expansion::add_remote_recipient(const Address& address) {
  if (context_.entering) {
    MAIL_TRY(mapped, add_virtual(address, 0, true));
    if (mapped) return {};
  }
  // A source route through us asks to relay what the sender could send itself (RFC 5321 appendix F.2).
  if (address.source_route) {
    route_.refusal = Refusal{550, "5.7.1", "Relaying denied"};
    return {};
  }
  if (router_.is_relay_domain(address.domain)) {
    route_.ours = true;
    if (context_.entering) {
      MAIL_TRY(refusal, router_.refuse_unknown(address));
      if (refusal) return route_.refusal = std::move(*refusal), Status();
    }
  }
  return add_remote(address);
}

Status Router::Expansion::add_remote(const Address& address) {
  const auto* routes = router_.options_.routes.get();
  if (routes == nullptr) return add_final(address.text(), Remote{address.domain}), Status();
  MAIL_TRY(named, routes->by_recipient(to_lower(address.name), address.domain));
  if (named.transport) return add_by_transport(address, named);
  MAIL_TRY(other, routes->otherwise(context_.sender));
  return add_by_transport(address, other);
}

Status Router::Expansion::add_mailbox(const Address& address, const LocalMailbox& mailbox) {
  MAIL_TRY(routed, add_routed(address, &mailbox));
  if (!routed) add_final(address.text(), mailbox);
  return {};
}

/// A route that names a local address (whether or not there is such a user), or its domain (for its users).
Result<bool> Router::Expansion::add_routed(const Address& address, const LocalMailbox* mailbox) {
  const auto* routes = router_.options_.routes.get();
  if (routes == nullptr || routes->no_recipients()) return false;
  MAIL_TRY(choice, routes->by_recipient(to_lower(address.name), address.domain));
  if (!choice.transport || (mailbox == nullptr && !choice.for_address)) return false;
  if (choice.transport->kind == Transport::Kind::local && choice.transport->text.empty()) return false;
  MAIL_CHECK(add_by_transport(address, choice));
  return true;
}

Status Router::Expansion::add_by_transport(const Address& address, const Routes::Choice& choice) {
  const auto& transport = choice.transport;
  note({"route: ", transport ? choice.rule : concat({"none, and no smart host: by MX of ", address.domain})});
  if (!transport) return add_final(address.text(), Remote{address.domain}), Status();
  switch (transport->kind) {
    case Transport::Kind::mx:
    case Transport::Kind::smtp:
    case Transport::Kind::lmtp:
      add_final(address.text(), Remote{address.domain, transport});
      break;
    case Transport::Kind::pipe:
      add_final(address.text(), Pipe{transport->argv, transport});
      break;
    case Transport::Kind::discard:
      add_final(address.text(), Discard{});
      break;
    case Transport::Kind::error:
      if (!route_.refusal) route_.refusal = Refusal{transport->code, transport->enhanced, transport->text};
      break;
    case Transport::Kind::local: {
      auto at = address;
      at.domain = router_.default_domain();
      if (!transport->text.empty()) at.name = at.local_part = transport->text;
      MAIL_TRY(mailbox, router_.mailbox_of(at));
      if (mailbox)
        add_final(address.text(), *mailbox);
      else if (!route_.refusal)
        route_.refusal = Refusal{550, "5.1.1", "No such user here"};
      break;
    }
  }
  return {};
}

}  // namespace mail::route
