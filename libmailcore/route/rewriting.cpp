#include "route/rewriting.h"

#include <algorithm>

#include "base/strings.h"
#include "directory/aliases.h"
#include "message/address.h"
#include "message/header.h"

namespace mail::route {
namespace {

using Complaint = std::optional<std::string>;
using directory::AliasTarget;

/// The value of a virtual map: addresses, and no programs or files, which only aliases(5) may name.
Complaint check_addresses(std::string_view, std::string_view value) {
  const auto targets = directory::parse_alias_targets(value);
  if (!targets) return concat({"needs addresses: ", targets.error().text});
  if (targets->empty()) return "has no address";
  for (const auto& target : *targets)
    if (target.kind != AliasTarget::Kind::address)
      return "may lead to addresses only; programs, files and :include: belong into users.aliases_file";
  return {};
}

/// "" where `value` may stand for an address; in a virtual map the value beside a domain alone is of no meaning.
Complaint check_virtual(std::string_view key, std::string_view value) {
  if (key.find('@') == std::string_view::npos && key.find('.') != std::string_view::npos) return {};
  return check_addresses(key, value);
}

Complaint check_one_address(std::string_view, std::string_view value) {
  if (value.find_first_of(" \t,;:<>\"()|") != std::string_view::npos || value.ends_with('@'))
    return concat({"needs one address (user@domain, @domain or user), not \"", printable(value), "\""});
  return {};
}

bool is_any(std::string_view name, std::initializer_list<std::string_view> names) {
  if (istarts_with(name, "Resent-")) name.remove_prefix(7);
  return std::ranges::any_of(names, [&](std::string_view one) { return iequals(one, name); });
}

bool is_atext(char c) {
  return is_alnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("!#$%&'*+-/=?^_`{|}~.@").find(c) != std::string_view::npos;
}

/// Puts `to` where `from` stands as an address of its own, whatever the case. Names, comments and folding stay.
void replace_address(std::string& text, std::string_view from, std::string_view to) {
  const auto lower = to_lower(text);
  const auto needle = to_lower(from);
  std::string out;
  std::size_t done = 0;
  for (auto at = lower.find(needle); at != std::string::npos; at = lower.find(needle, at + needle.size())) {
    const auto end = at + needle.size();
    if ((at > 0 && is_atext(text[at - 1])) || (end < text.size() && is_atext(text[end]))) continue;
    out.append(text, done, at - done).append(to);
    done = end;
  }
  text = out.append(text, done);
}

}  // namespace

Rewriting::Rewriting(const config::Settings& settings, const Clock& clock)
    : delimiter_(settings.users.recipient_delimiter),
      always_bcc_(settings.rewrite.always_bcc),
      local_domains_(config::local_domains(settings)),
      masquerade_(settings.rewrite.masquerade_domains),
      exceptions_(settings.rewrite.masquerade_exceptions),
      headers_(settings.rewrite.headers) {
  local_domains_.push_back(to_lower(config::host_name(settings)));
  for (auto& domain : masquerade_) domain = to_lower(domain);
  const auto& from = settings.rewrite;
  virtual_.add(from.virtual_maps, check_virtual, clock);
  canonical_.add(from.canonical_maps, check_one_address, clock);
  sender_canonical_.add(from.sender_canonical_maps, check_one_address, clock);
  recipient_canonical_.add(from.recipient_canonical_maps, check_one_address, clock);
  sender_bcc_.add(from.sender_bcc_maps, check_addresses, clock);
  recipient_bcc_.add(from.recipient_bcc_maps, check_addresses, clock);
}

bool Rewriting::is_local(std::string_view domain) const {
  return std::ranges::find(local_domains_, domain) != local_domains_.end();
}

Result<std::string> Rewriting::mapped(const Maps& maps, std::string address, std::string* rule) const {
  if (maps.empty() || address.empty()) return address;
  const auto at = address.rfind('@');
  if (at == std::string::npos) return address;
  const auto key = to_lower(address);
  const auto name = std::string_view(key).substr(0, at);
  const auto domain = std::string_view(key).substr(at + 1);
  MAIL_TRY(hit, find_address(maps, name, domain, delimiter_, is_local(domain)));
  if (!hit) {
    MAIL_TRY(all, maps.find(std::string_view(key).substr(at)));
    if (!all) return address;
    hit = AddressHit{std::move(all->value), std::move(all->rule), {}};
  }
  if (rule != nullptr) *rule += concat({rule->empty() ? "" : ", ", hit->rule, " -> ", hit->value});
  auto to = std::move(hit->value);
  if (to.starts_with('@')) return address.substr(0, at) + to;
  if (to.find('@') == std::string::npos) to += address.substr(at);
  return with_extension(std::move(to), hit->extension);
}

std::string Rewriting::masqueraded(std::string address) const {
  const auto at = address.rfind('@');
  if (at == std::string::npos) return address;
  const auto name = std::string_view(address).substr(0, at);
  if (std::ranges::any_of(exceptions_, [&](const auto& one) { return iequals(one, name); })) return address;
  const auto domain = to_lower(std::string_view(address).substr(at + 1));
  for (const auto& parent : masquerade_) {
    if (domain == parent) return address;
    if (domain.ends_with("." + parent)) return concat({name, "@", parent});
  }
  return address;
}

Result<std::string> Rewriting::sender(std::string_view address) const {
  MAIL_TRY(own, mapped(sender_canonical_, std::string(address), nullptr));
  MAIL_TRY(canonical, mapped(canonical_, std::move(own), nullptr));
  return masqueraded(std::move(canonical));
}

Result<std::string> Rewriting::recipient(std::string_view address, std::string* rule) const {
  MAIL_TRY(own, mapped(recipient_canonical_, std::string(address), rule));
  return mapped(canonical_, std::move(own), rule);
}

Result<std::optional<std::string>> Rewriting::header(std::string_view header) const {
  if (!headers_ ||
      (canonical_.empty() && sender_canonical_.empty() && recipient_canonical_.empty() && masquerade_.empty()))
    return std::optional<std::string>();
  std::string out;
  bool changed = false;
  std::size_t taken = 0;
  for (const auto& field : message::HeaderFields(header)) {
    taken += field.raw.size();
    const bool from_sender = is_any(
        field.name, {"From", "Sender", "Reply-To", "Errors-To", "Return-Receipt-To", "Disposition-Notification-To"});
    if (!from_sender && !is_any(field.name, {"To", "Cc", "Bcc"})) {
      out += field.raw;
      continue;
    }
    std::string raw(field.raw);
    for (const auto& mailbox : message::parse_mailboxes(field.value)) {
      const auto old = message::addr_spec(mailbox);
      MAIL_TRY(now, from_sender ? sender(old) : recipient(old));
      const auto masked = from_sender ? now : masqueraded(now);
      if (masked == old) continue;
      replace_address(raw, old, masked);
      changed = true;
    }
    out += raw;
  }
  if (!changed) return std::optional<std::string>();
  out += header.substr(std::min(taken, header.size()));
  return std::optional(std::move(out));
}

Result<std::vector<std::string>> Rewriting::copies(std::string_view reverse_path,
                                                   const std::vector<std::string>& recipients) const {
  std::vector<std::string> out;
  const auto add = [&](std::string_view addresses) {
    if (const auto targets = directory::parse_alias_targets(addresses))
      for (const auto& target : *targets) {
        const auto same = [&](const std::string& one) { return iequals(one, target.text); };
        if (target.kind == AliasTarget::Kind::address && std::ranges::none_of(out, same) &&
            std::ranges::none_of(recipients, same))
          out.push_back(target.text);
      }
  };
  const auto look = [&](const Maps& maps, std::string_view address) -> Status {
    const auto key = to_lower(address);
    const auto at = key.rfind('@');
    if (maps.empty() || at == std::string::npos) return {};
    const auto domain = std::string_view(key).substr(at + 1);
    MAIL_TRY(hit, find_address(maps, std::string_view(key).substr(0, at), domain, delimiter_, is_local(domain)));
    if (hit) return add(hit->value), Status();
    MAIL_TRY(all, maps.find(std::string_view(key).substr(at)));
    if (all) add(all->value);
    return {};
  };
  add(always_bcc_);
  MAIL_CHECK(look(sender_bcc_, reverse_path));
  for (const auto& recipient : recipients) MAIL_CHECK(look(recipient_bcc_, recipient));
  return out;
}

void Rewriting::reload() const {
  for (auto* maps : {&virtual_, &canonical_, &sender_canonical_, &recipient_canonical_, &sender_bcc_, &recipient_bcc_})
    maps->reload();
}

std::vector<std::string> Rewriting::problems() const {
  std::vector<std::string> out;
  for (const auto* maps :
       {&virtual_, &canonical_, &sender_canonical_, &recipient_canonical_, &sender_bcc_, &recipient_bcc_})
    maps->problems(out);
  if (!always_bcc_.empty())
    if (const auto complaint = check_addresses({}, always_bcc_)) out.push_back("rewrite.always_bcc " + *complaint);
  return out;
}

}  // namespace mail::route
