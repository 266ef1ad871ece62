#include "route/routes.h"

#include "base/strings.h"

namespace mail::route {
namespace {
constexpr std::size_t kMostParsed = 20000;  // a database may have one per address
}  // namespace

Routes::Routes(const config::Settings& settings, const Clock& clock)
    : named_(settings.relay.transports), delimiter_(settings.users.recipient_delimiter) {
  const auto& relay = settings.relay;
  const EntryCheck check = [this](std::string_view, std::string_view value) -> std::optional<std::string> {
    const auto parsed = config::Transport::parse(value, named_);
    return parsed ? std::nullopt : std::optional(parsed.error().text);
  };
  const auto fill = [&](Maps& maps, const char* name, const config::Table& table, const config::Strings& more) {
    if (!table.empty()) maps.add(inline_map(name, table));
    maps.add(more, check, clock);
  };
  fill(recipients_, "[relay.routes]", relay.routes, relay.route_maps);
  fill(senders_, "[relay.sender_routes]", relay.sender_routes, relay.sender_route_maps);
  fill(accounts_, "[relay.user_routes]", relay.user_routes, relay.user_route_maps);
  if (relay.smart_host.empty()) return;
  auto host = config::Transport::parse(relay.smart_host, named_);
  if (!host) return;  // told when the configuration was loaded
  if (host->tls.empty()) host->tls = relay.smart_host_tls;
  if (host->auth_user.empty())
    host->auth_user = relay.smart_host_user, host->auth_file = relay.smart_host_password_file;
  smart_host_.transport = std::make_shared<const config::Transport>(std::move(*host));
  smart_host_.rule = concat({"relay.smart_host = \"", relay.smart_host, "\""});
}

Result<TransportPtr> Routes::transport(const std::string& text) const {
  const std::scoped_lock lock(mutex_);
  if (const auto known = parsed_.find(text); known != parsed_.end()) return known->second;
  auto parsed = config::Transport::parse(text, named_);
  if (!parsed)
    return fail(Error::Kind::temporary, concat({"the route \"", printable(text), "\" ", parsed.error().text}));
  if (parsed_.size() >= kMostParsed) parsed_.clear();
  return parsed_[text] = std::make_shared<const config::Transport>(std::move(*parsed));
}

Result<Routes::Choice> Routes::find(const Maps& maps, std::string_view key) const {
  MAIL_TRY(hit, maps.find(key));
  if (!hit) return Choice();
  MAIL_TRY(found, transport(hit->value));
  return Choice{std::move(found), concat({hit->rule, " = \"", hit->value, "\""})};
}

/// "example.org", then ".example.org" and ".org" for what is below them.
Result<Routes::Choice> Routes::find_domain(const Maps& maps, std::string_view domain) const {
  MAIL_TRY(exact, find(maps, domain));
  if (exact.transport) return std::move(exact);
  for (auto dot = domain.find('.'); dot != std::string_view::npos; dot = domain.find('.', dot + 1)) {
    MAIL_TRY(parent, find(maps, domain.substr(dot)));
    if (parent.transport) return std::move(parent);
  }
  return Choice();
}

Result<Routes::Choice> Routes::by_recipient(std::string_view name, std::string_view domain) const {
  if (recipients_.empty()) return Choice();
  MAIL_TRY(hit, find_address(recipients_, name, domain, delimiter_, false));
  if (!hit) return find_domain(recipients_, domain);
  MAIL_TRY(found, transport(hit->value));
  return Choice{std::move(found), concat({hit->rule, " = \"", hit->value, "\""}), true};
}

Result<Routes::Choice> Routes::otherwise(const Sender& sender) const {
  if (!accounts_.empty() && !sender.account.empty()) {
    MAIL_TRY(account, find(accounts_, to_lower(sender.account)));
    if (account.transport) return std::move(account);
    MAIL_TRY(any, find(accounts_, "*"));
    if (any.transport) return std::move(any);
  }
  if (!senders_.empty()) {
    const auto from = to_lower(sender.reverse_path);
    const auto at = from.rfind('@');
    MAIL_TRY(whole, find(senders_, from.empty() ? "<>" : from));
    if (whole.transport) return std::move(whole);
    if (at != std::string::npos) {
      MAIL_TRY(domain, find_domain(senders_, std::string_view(from).substr(at + 1)));
      if (domain.transport) return std::move(domain);
      MAIL_TRY(postfix, find(senders_, std::string_view(from).substr(at)));  // "@example.org", as Postfix has it
      if (postfix.transport) return std::move(postfix);
    }
    MAIL_TRY(any, find(senders_, "*"));
    if (any.transport) return std::move(any);
  }
  if (!recipients_.empty()) {
    MAIL_TRY(any, find(recipients_, "*"));
    if (any.transport) return std::move(any);
  }
  return smart_host_;
}

void Routes::reload() const {
  for (auto* maps : {&recipients_, &senders_, &accounts_}) maps->reload();
}

std::vector<std::string> Routes::problems() const {
  std::vector<std::string> out;
  for (const auto* maps : {&recipients_, &senders_, &accounts_}) maps->problems(out);
  return out;
}

}  // namespace mail::route
