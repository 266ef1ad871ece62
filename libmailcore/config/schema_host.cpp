#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/strings.h"
#include "config/schema.h"

namespace mail::config {

namespace {

Complaint check_target(std::string_view text, const Settings&) {
  if (text == "stderr" || text == "syslog" || text == "journal" || text == "none") return {};
  if (text.starts_with("file:/") && text.size() > 6) return {};
  return concat({"must be stderr, syslog, journal, none or file:/PATH, not \"", printable(text), "\""});
}

/// Labels between dots, without blanks, '@' or brackets; beyond ASCII only where `utf8` allows it.
bool is_domain(std::string_view text, bool utf8) {
  const auto allowed = [&](unsigned char c) {
    return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || (utf8 && c >= 0x80);
  };
  return text.size() <= 255 && std::ranges::all_of(split(text, '.'), [&](std::string_view label) {
           return !label.empty() && std::ranges::all_of(label, allowed);
         });
}

Complaint check_host_name(std::string_view text, const Settings&) {
  if (text.empty() || is_domain(text, false)) return {};
  return concat({"must be a host's name such as \"mail.example.org\", not \"", printable(text), "\""});
}

Complaint check_domain(std::string_view text, const Settings&) {
  if (is_domain(text, true)) return {};
  return concat({"must hold domains such as \"example.org\", not \"", printable(text), "\""});
}

/// A local part or an address; what is behind it is for the router to say.
Complaint check_postmaster(std::string_view text, const Settings&) {
  const auto at = text.rfind('@');
  const auto local_part = text.substr(0, at);
  const bool clean = std::ranges::none_of(text, [](unsigned char c) { return c <= 0x20 || c == 0x7f || c == '<'; });
  if (clean && !local_part.empty() && (at == std::string_view::npos || is_domain(text.substr(at + 1), true))) return {};
  return concat({"must be an address such as \"postmaster@example.org\", not \"", printable(text), "\""});
}

/// Only root changes to another account; for others the key has no effect.
Complaint inspect_user(std::string_view name, const Settings&) {
  if (name.empty() || ::geteuid() != 0 || ::getpwnam(std::string(name).c_str()) != nullptr) return {};
  return concat({"names the user \"", printable(name), "\", whom this system does not have"});
}
Complaint inspect_group(std::string_view name, const Settings&) {
  if (name.empty() || ::geteuid() != 0 || ::getgrnam(std::string(name).c_str()) != nullptr) return {};
  return concat({"names the group \"", printable(name), "\", which this system does not have"});
}

}  // namespace

Complaint inspect_file(std::string_view path, const Settings&) {
  const std::string file(path);
  if (file.empty()) return {};
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored))
    return concat({"names ", printable(file), ", which is a directory"});
  if (::access(file.c_str(), R_OK) == 0) return {};
  return concat({"names ", printable(file), ": ", std::strerror(errno)});
}

Complaint inspect_tls_address(std::string_view, const Settings& settings) {
  if (!settings.tls.certificates.empty()) return {};
  return "is for TLS, which needs a [[tls.certificates]] with certificate and key";
}

Rows host_rows() {
  return {
      row<&Settings::host, &Host::name>(
          "host.name", "Full name of this host, in greetings and Received fields; empty: what the system says.",
          check_host_name),
      row<&Settings::host, &Host::domains>("host.domains", "Domains whose mail is local; empty: the host's name.",
                                           check_domain),
      row<&Settings::host, &Host::postmaster>("host.postmaster", "Who gets mail for postmaster, and double bounces.",
                                              check_postmaster),

      row<&Settings::log, &Log::target>("log.target", "Where lines go: stderr, syslog, journal, none or file:PATH.",
                                        check_target),
      row<&Settings::log, &Log::level>("log.level", "Least level that is written.",
                                       {"debug", "info", "warning", "error"}),

      row<&Settings::run, &Run::user>("run.user", "User to become when started as root; empty: relais.", nullptr,
                                      inspect_user),
      row<&Settings::run, &Run::group>("run.group", "Group to become; empty: the user's.", nullptr, inspect_group),
      row<&Settings::run, &Run::threads>("run.threads", "Threads that carry connections; 0: one per core."),
      row<&Settings::run, &Run::workers>("run.workers", "Threads for work that blocks; 0: four per core."),
      row<&Settings::run, &Run::stop_grace>("run.stop_grace", "How long open sessions may go on after SIGTERM."),

      row<&Settings::tls, &Tls::certificates>(
          "tls.certificates",
          "One [[tls.certificates]] each, with certificate and key (PEM files); chosen by SNI, "
          "the first for clients that name none.",
          nullptr, inspect_file),
      row<&Settings::tls, &Tls::minimum>("tls.minimum", "Oldest version of TLS that is spoken.", {"1.2", "1.3"}),
      row<&Settings::tls, &Tls::ciphers>("tls.ciphers", "Ciphers for TLS 1.2 as an OpenSSL list; empty: OpenSSL's."),
      row<&Settings::tls, &Tls::session_tickets>("tls.session_tickets",
                                                 "Whether clients may resume sessions by tickets."),
      row<&Settings::tls, &Tls::ca_file>(
          "tls.ca_file", "Authorities (PEM) trusted for other servers; empty: the system's.", nullptr, inspect_file),

      row<&Settings::limits, &Limits::connections>("limits.connections", "Open connections; more wait until one ends."),
      row<&Settings::limits, &Limits::connections_per_address>(
          "limits.connections_per_address", "Open connections of one IPv4 address or IPv6 /64; 0: no limit."),
      row<&Settings::limits, &Limits::unlimited>("limits.unlimited",
                                                 "Networks without the limit per address; loopback has none anyway."),
      row<&Settings::limits, &Limits::descriptors>(
          "limits.descriptors", "File descriptors to ask the system for; 0: what the connections need."),
      row<&Settings::limits, &Limits::proxies>(
          "limits.proxies", "Networks whose connections begin with a PROXY protocol header (v1 or v2)."),
      row<&Settings::limits, &Limits::tls_handshake>("limits.tls_handshake", "Time for a TLS handshake."),
      row<&Settings::limits, &Limits::proxy_header>("limits.proxy_header", "Time for a PROXY protocol header."),

      row<&Settings::dns, &Dns::servers>("dns.servers", "Name servers; empty: those of /etc/resolv.conf."),
      row<&Settings::dns, &Dns::timeout>("dns.timeout", "Wait for the first answer; doubled at each further try."),
      row<&Settings::dns, &Dns::tries>("dns.tries", "Tries at each server."),
      row<&Settings::dns, &Dns::records>("dns.records", "Records used of one answer; the rest is ignored."),
      row<&Settings::dns, &Dns::cnames>("dns.cnames", "Longest chain of CNAME records followed."),
      row<&Settings::dns, &Dns::trust_ad>(
          "dns.trust_ad", "Whether name servers on other hosts are believed that an answer is authentic (DNSSEC)."),
  };
}

}  // namespace mail::config
