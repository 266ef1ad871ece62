#include "mta/serve/policy/dns_checks.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"

namespace mail::mta {
namespace {

constexpr std::size_t kMostNames = 5;  // PTR records that are followed: somebody else writes them

}  // namespace

struct DnsChecks::List {
  std::string zone;
  std::vector<IpAddress> codes;
  bool block;
};

DnsChecks::DnsChecks(net::Resolver& resolver, const IpAddress& client, Settings settings)
    : resolver_(resolver), client_(client), settings_(std::move(settings)) {
  for (const auto& entry : settings_.block_lists) ask_list(entry, true);
  for (const auto& entry : settings_.allow_lists) ask_list(entry, false);
  if (settings_.names) ask_name();
}

void DnsChecks::when_done(std::function<void(const Findings&)> callback) {
  if (open_ == 0) return callback(findings_);
  callback_ = std::move(callback);
}

void DnsChecks::ask(net::DnsType type, std::string_view name, std::function<void(net::DnsResult)> callback) {
  ++open_;
  queries_.push_back(resolver_.ask(type, name, [this, callback = std::move(callback)](net::DnsResult result) {
    callback(std::move(result));
    if (--open_ == 0 && callback_) std::exchange(callback_, nullptr)(findings_);
  }));
}

void DnsChecks::ask_list(const std::string& entry, bool block) {
  const auto [zone, codes] = split_once(entry, '=');
  List list{std::string(zone), {}, block};
  for (const auto code : split(codes, ','))
    if (const auto address = IpAddress::parse(trim(code))) list.codes.push_back(*address);
  ask(net::DnsType::a, client_.reversed(zone), [this, list](const net::DnsResult& result) {
    if (result)
      listed(list, *result);
    else if (result.error().kind != Error::Kind::not_found)
      log_event(LogLevel::warning, "dns_list",
                {{"zone", list.zone}, {"text", result.error().text}});  // counts as not listed
  });
}

void DnsChecks::listed(const List& list, const net::DnsAnswer& answer) {
  const bool heeded = std::ranges::any_of(answer.addresses, [&](const IpAddress& code) {
    // Others than 127/8 are a parked domain's wildcard, not an answer (RFC 5782 section 2.1).
    return code.is_loopback() && (list.codes.empty() || std::ranges::find(list.codes, code) != list.codes.end());
  });
  if (!heeded) return;
  if (!list.block) {
    findings_.allowed = true;
    return;
  }
  if (findings_.blocked_by) return;
  findings_.blocked_by = list.zone;
  ask(net::DnsType::txt, client_.reversed(list.zone), [this](const net::DnsResult& result) {
    if (result && !result->texts.empty()) findings_.block_text = printable(result->texts.front()).substr(0, 200);
  });
}

void DnsChecks::ask_name() {
  ask(net::DnsType::ptr, client_.reversed(), [this](const net::DnsResult& result) {
    if (!result) {
      findings_.name_unknown = result.error().kind == Error::Kind::temporary;
      return;
    }
    findings_.has_name = true;
    for (std::size_t i = 0; i < std::min(result->texts.size(), kMostNames); ++i) {
      findings_.names.push_back(result->texts[i]);
      confirm(result->texts[i]);
    }
  });
}

void DnsChecks::confirm(const std::string& name) {
  const auto type = client_.is_v4() ? net::DnsType::a : net::DnsType::aaaa;
  ask(type, name, [this, name](const net::DnsResult& result) {
    if (!result) {
      if (result.error().kind == Error::Kind::temporary) findings_.name_unknown = true;
    } else if (findings_.confirmed_name.empty() &&
               std::ranges::find(result->addresses, client_) != result->addresses.end()) {
      findings_.confirmed_name = name;
    }
  });
}

}  // namespace mail::mta
