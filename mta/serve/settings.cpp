#include "mta/serve/settings.h"

#include <algorithm>
#include <ctime>

#include "base/clock.h"

namespace mail::mta {

namespace {

/// "2026-11-22T03:04:05Z" (RFC 3339)
std::string utc_text(WallTime time) {
  const auto seconds = WallTime::clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

std::vector<net::Listen> listeners_of(const config::Settings& settings) {
  std::vector<net::Listen> listeners;
  const auto add = [&](const config::Endpoints& endpoints, const char* name, bool tls, Service service) {
    for (const auto& endpoint : endpoints) listeners.push_back({endpoint, name, tls, static_cast<int>(service)});
  };
  add(settings.smtp.listen, "smtp", false, Service::smtp);
  add(settings.smtp.submission, "submission", false, Service::submission);
  add(settings.smtp.submissions, "submissions", true, Service::submissions);
  if (!listeners.empty() || !net::Server::started_by_systemd_socket()) return listeners;
  // systemd's sockets alone: they are known by their names.
  const config::Endpoints unknown(1);
  add(unknown, "smtp", false, Service::smtp);
  add(unknown, "submission", false, Service::submission);
  add(unknown, "submissions", true, Service::submissions);
  return listeners;
}

smtp::ServerSettings session_settings(const config::Settings& settings, Service service,
                                      const sasl::ServerPolicy& policy, bool tls) {
  const auto& from = settings.smtp;
  const bool submission = service != Service::smtp;
  smtp::ServerSettings to;
  to.host_name = config::host_name(settings);
  to.banner = from.banner.empty() ? "ESMTP Relais" : from.banner;
  if (!to.banner.starts_with("ESMTP")) to.banner.insert(0, "ESMTP ");
  to.mode = submission ? smtp::Mode::submission : smtp::Mode::relay;
  to.message_octets = from.message_octets;
  to.recipients = static_cast<std::uint32_t>(from.recipients);
  to.transactions = static_cast<std::uint32_t>(from.transactions);
  to.command_octets = static_cast<std::uint32_t>(from.line_octets);
  to.text_line_octets = static_cast<std::uint32_t>(from.text_line_octets);
  to.mistakes = static_cast<std::uint32_t>(from.errors);
  to.bare_newlines = from.bare_newlines == "normalise" ? smtp::BareNewlines::normalise : smtp::BareNewlines::refuse;
  to.lenient = from.lenient;
  to.verify = from.verify;
  to.expand = from.expand;
  to.tls = tls;
  to.auth_required = submission;
  // The -PLUS variants need binding data, which every TLS 1.3 session has.
  const sasl::Channel under_tls{.encrypted = true, .tls_exporter = std::string(32, 'x'), .tls_server_end_point = "x"};
  to.auth_under_tls = sasl::announced_mechanisms(policy, under_tls);
  to.auth_in_clear = submission ? sasl::announced_mechanisms(policy, {}) : std::vector<std::string>{};
  if (submission) {
    to.hold_seconds = static_cast<std::uint64_t>(from.future_release.count());
    to.hold_until_latest = [ahead = from.future_release] { return utc_text(Clock::system().now() + ahead); };
  }
  if (from.deliver_by) to.by_min = 0;
  to.mt_priority = from.priority;
  to.requiretls = from.require_tls;
  to.etrn = from.etrn && !submission;
  return to;
}

bool contains(const config::Networks& networks, const net::SocketAddress& address) {
  return !address.is_unix() &&
         std::ranges::any_of(networks, [&](const IpPrefix& network) { return network.contains(address.ip); });
}

}  // namespace mail::mta
