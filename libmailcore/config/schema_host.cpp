#include "base/strings.h"
#include "config/schema.h"

namespace mail::config {

namespace {

Complaint check_target(std::string_view text, const Settings&) {
  if (text == "stderr" || text == "syslog" || text == "journal" || text == "none") return {};
  if (text.starts_with("file:/") && text.size() > 6) return {};
  return concat({"must be stderr, syslog, journal, none or file:/PATH, not \"", printable(text), "\""});
}

}  // namespace

Rows host_rows() {
  return {
      row<&Settings::host, &Host::name>(
          "host.name", "Full name of this host, in greetings and Received fields; empty: what the system says."),
      row<&Settings::host, &Host::domains>("host.domains", "Domains whose mail is local; empty: the host's name."),
      row<&Settings::host, &Host::postmaster>("host.postmaster", "Who gets mail for postmaster, and double bounces."),

      row<&Settings::log, &Log::target>("log.target", "Where lines go: stderr, syslog, journal, none or file:PATH.",
                                        check_target),
      row<&Settings::log, &Log::level>("log.level", "Least level that is written.",
                                       {"debug", "info", "warning", "error"}),

      row<&Settings::run, &Run::user>("run.user", "User to become when started as root; empty: relais."),
      row<&Settings::run, &Run::group>("run.group", "Group to become; empty: the user's."),
      row<&Settings::run, &Run::threads>("run.threads", "Threads that carry connections; 0: one per core."),
      row<&Settings::run, &Run::workers>("run.workers", "Threads for work that blocks; 0: four per core."),
      row<&Settings::run, &Run::stop_grace>("run.stop_grace", "How long open sessions may go on after SIGTERM."),

      row<&Settings::tls, &Tls::certificates>(
          "tls.certificates",
          "One [[tls.certificates]] each, with certificate and key (PEM files); chosen by SNI, "
          "the first for clients that name none."),
      row<&Settings::tls, &Tls::minimum>("tls.minimum", "Oldest version of TLS that is spoken.", {"1.2", "1.3"}),
      row<&Settings::tls, &Tls::ciphers>("tls.ciphers", "Ciphers for TLS 1.2 as an OpenSSL list; empty: OpenSSL's."),
      row<&Settings::tls, &Tls::session_tickets>("tls.session_tickets",
                                                 "Whether clients may resume sessions by tickets."),
      row<&Settings::tls, &Tls::ca_file>("tls.ca_file",
                                         "Authorities (PEM) trusted for other servers; empty: the system's."),

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
  };
}

}  // namespace mail::config
