#include "route/router.h"

#include <algorithm>

#include "base/ip_address.h"
#include "base/strings.h"
#include "route/expansion.h"

namespace mail::route {
namespace {

constexpr std::size_t kLongestLocalPart = 255;  // octets; RFC 5321 section 4.5.3.1.1 asks for 64, lists use more

Refusal bad_syntax() { return {553, "5.1.3", "Bad recipient address syntax"}; }
Refusal not_relayed() { return {550, "5.7.1", "Relaying denied"}; }

/// The '@' between local part and domain: the last one outside quotes.
std::size_t find_at(std::string_view address) {
  std::size_t at = std::string_view::npos;
  bool quoted = false;
  for (std::size_t i = 0; i < address.size(); ++i) {
    if (quoted && address[i] == '\\')
      ++i;
    else if (address[i] == '"')
      quoted = !quoted;
    else if (address[i] == '@' && !quoted)
      at = i;
  }
  return at;
}

/// The local part's meaning: without quotes and backslashes. Nothing where it is not of the grammar.
std::optional<std::string> meaning(std::string_view local_part) {
  if (local_part.empty() || local_part.size() > kLongestLocalPart) return std::nullopt;
  if (std::ranges::any_of(local_part, [](unsigned char c) { return c < 0x20 || c == 0x7f; }) || !is_utf8(local_part))
    return std::nullopt;
  if (local_part.front() != '"') {
    if (local_part.find_first_of(" \"\\(),:;<>[]") != std::string_view::npos) return std::nullopt;
    return std::string(local_part);
  }
  std::string out;
  for (std::size_t i = 1; i < local_part.size(); ++i) {
    if (local_part[i] == '"') return i + 1 == local_part.size() ? std::optional(out) : std::nullopt;
    if (local_part[i] == '\\' && ++i == local_part.size()) return std::nullopt;
    out += local_part[i];
  }
  return std::nullopt;
}

}  // namespace

bool Route::all_local() const {
  return std::ranges::none_of(targets,
                              [](const Target& target) { return std::holds_alternative<Remote>(target.destination); });
}

std::string Router::Address::text() const { return concat({local_part, "@", domain}); }

Router::Router(const directory::Directory& directory, Options options)
    : directory_(directory), options_(std::move(options)) {
  options_.host_name = to_lower(options_.host_name);
  // Addresses of ours are compared as literals in their canonical spelling.
  for (auto& address : options_.addresses)
    if (const auto ip = IpAddress::parse(address)) address = ip->to_literal();
}

tl::expected<Router::Address, Refusal> Router::take_apart(std::string_view recipient,
                                                          const std::string& default_domain) {
  if (recipient.starts_with('<') && recipient.ends_with('>')) recipient = recipient.substr(1, recipient.size() - 2);
  Address address;
  if (recipient.starts_with('@')) {  // source route: RFC 5321 appendix C, ignored but for the last address
    const auto colon = recipient.find(':');
    if (colon == std::string_view::npos) return tl::unexpected(bad_syntax());
    recipient.remove_prefix(colon + 1);
    address.source_route = true;
  }
  const auto at = find_at(recipient);
  address.local_part = recipient.substr(0, at);
  auto name = meaning(address.local_part);
  if (!name) return tl::unexpected(bad_syntax());
  address.name = std::move(*name);
  if (at == std::string_view::npos) {
    address.domain = default_domain;
    return address;
  }
  auto domain = normalised_domain(recipient.substr(at + 1));
  if (!domain) return tl::unexpected(Refusal{553, "5.1.2", "Bad recipient domain"});
  address.domain = std::move(*domain);
  return address;
}

bool Router::is_local_domain(std::string_view domain) const {
  if (directory_.is_local_domain(domain)) return true;
  const auto normal = normalised_domain(domain);
  if (!normal) return false;
  if (normal->front() == '[') return std::ranges::find(options_.addresses, *normal) != options_.addresses.end();
  return *normal == options_.host_name || directory_.is_local_domain(*normal);
}

const std::vector<directory::AliasTarget>* Router::alias_of(const directory::AliasTable& aliases,
                                                            const Address& address, std::string* name) const {
  if (aliases.size() == 0) return nullptr;
  const auto whole = to_lower(address.name);
  const auto delimiter = options_.delimiter.empty() ? std::string::npos : whole.find_first_of(options_.delimiter, 1);
  std::vector<std::string> bases{whole};
  if (delimiter != std::string::npos) bases.push_back(whole.substr(0, delimiter));
  for (const auto& base : bases)
    for (const auto& key : {concat({base, "@", address.domain}), base})
      if (const auto* targets = aliases.find(key)) {
        if (name != nullptr) *name = base;
        return targets;
      }
  return nullptr;
}

Result<std::optional<LocalMailbox>> Router::mailbox_of(const Address& address) const {
  const auto& whole = address.name;
  // "ann@here"@here is a request to relay, whoever ann@here is.
  if (whole.find('@') != std::string::npos) return std::optional<LocalMailbox>();
  const auto find = [&](std::string_view local_part) {
    // The host's own name and literals stand for the first domain.
    return directory_.is_local_domain(address.domain) ? directory_.find_user(concat({local_part, "@", address.domain}))
                                                      : directory_.find_user(local_part);
  };
  MAIL_TRY(user, find(whole));
  if (user) return std::optional(LocalMailbox{user->name, ""});
  const auto delimiter = options_.delimiter.empty() ? std::string::npos : whole.find_first_of(options_.delimiter, 1);
  if (delimiter == std::string::npos) return std::optional<LocalMailbox>();
  MAIL_TRY(base, find(std::string_view(whole).substr(0, delimiter)));
  if (base) return std::optional(LocalMailbox{base->name, whole.substr(delimiter + 1)});
  return std::optional<LocalMailbox>();
}

std::string Router::default_domain() const {
  return directory_.domains().empty() ? options_.host_name : directory_.domains().front();
}

void Router::reload() const {
  if (options_.routes) options_.routes->reload();
  if (options_.rewriting) options_.rewriting->reload();
}

Result<bool> Router::is_virtual_domain(std::string_view domain) const {
  if (!options_.rewriting || options_.rewriting->virtual_maps().empty()) return false;
  MAIL_TRY(hit, options_.rewriting->virtual_maps().find(domain));
  return hit.has_value();
}

bool Router::is_relay_domain(std::string_view domain) const {
  return std::ranges::any_of(options_.relay_domains, [&](const std::string& one) {
    return one.starts_with('.') ? domain.ends_with(one) : domain == one;
  });
}

/// An address of a relay domain that the maps of smtp.relay_recipients do not know.
Result<std::optional<Refusal>> Router::refuse_unknown(const Address& address) const {
  if (!options_.relay_recipients || options_.relay_recipients->empty()) return std::optional<Refusal>();
  const auto& maps = *options_.relay_recipients;
  MAIL_TRY(hit, find_address(maps, to_lower(address.name), address.domain, options_.delimiter, false));
  if (hit) return std::optional<Refusal>();
  MAIL_TRY(all, maps.find("@" + address.domain));
  if (all) return std::optional<Refusal>();
  return std::optional(Refusal{550, "5.1.1", "No such user there"});
}

Result<Route> Router::route(std::string_view recipient, const Context& context) const {
  Route route;
  auto address = take_apart(recipient, default_domain());
  if (address && context.entering && options_.rewriting) {
    std::string rule;
    MAIL_TRY(canonical, options_.rewriting->recipient(address->text(), &rule));
    if (!rule.empty()) {
      const bool source_route = address->source_route;
      address = take_apart(canonical, default_domain());
      if (address) address->source_route = source_route;
      route.expanded = true;
      if (context.why != nullptr) context.why->push_back("canonical: " + rule);
    }
  }
  if (!address) {
    route.refusal = address.error();
    return route;
  }
  Expansion expansion(*this, route, context);
  const bool local = is_local_domain(address->domain);
  MAIL_TRY(is_virtual, is_virtual_domain(address->domain));
  if (!local && !is_virtual) {
    MAIL_CHECK(expansion.add_remote_recipient(*address));
    return route;
  }
  route.ours = true;
  MAIL_CHECK(expansion.add(*address, 0));
  if (route.targets.empty() && !route.refusal) {
    // What looks like an address inside the local part asks us to pass mail on.
    const bool hack = address->name.find_first_of("%!@") != std::string::npos;
    route.refusal = hack ? not_relayed() : Refusal{550, "5.1.1", "No such user here"};
  }
  if (!route.targets.empty()) route.refusal.reset();
  return route;
}

Result<Route> Router::route_spooled(std::string_view forward_path, const Context& context) const {
  Route route;
  const auto address = take_apart(forward_path, default_domain());
  if (!address || !is_local_domain(address->domain)) return this->route(forward_path, context);
  Expansion expansion(*this, route, context);
  MAIL_CHECK(expansion.add_own_targets(*address));
  if (!route.targets.empty()) return route;
  MAIL_TRY(mailbox, mailbox_of(*address));
  if (!mailbox) return this->route(forward_path, context);
  MAIL_CHECK(expansion.add_mailbox(*address, *mailbox));
  return route;
}

}  // namespace mail::route
