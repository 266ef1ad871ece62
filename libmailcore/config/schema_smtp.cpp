#include "base/strings.h"
#include "config/peers.h"
#include "config/schema.h"
#include "config/transport.h"

namespace mail::config {

namespace {

template <class T>
Complaint complaint_of(const Result<T>& result) {
  if (result) return {};
  return result.error().text;
}

Complaint check_delegation(std::string_view text, const Settings&) {
  if (text.empty()) return {};
  return complaint_of(parse_peer(text));
}

Complaint check_milter(std::string_view text, const Settings&) { return complaint_of(Milter::parse(text)); }

Complaint check_smart_host(std::string_view text, const Settings&) {
  if (text.empty()) return {};
  return complaint_of(Transport::parse(text));
}

Complaint check_transport(std::string_view text, const Settings&) { return complaint_of(Transport::parse(text)); }

Complaint check_route(std::string_view text, const Settings& settings) {
  return complaint_of(Transport::parse(text, settings.relay.transports));
}

Complaint check_source_address(std::string_view text, const Settings&) {
  if (text.empty() || IpAddress::parse(text)) return {};
  return concat({"must hold IP addresses, not \"", printable(text), "\""});
}

Complaint check_rate(std::string_view text, const Settings&) {
  if (parse_rate(text)) return {};
  return concat({"must be \"MESSAGES/TIME\" as in \"60/1m\", not \"", printable(text), "\""});
}

}  // namespace

Rows smtp_rows() {
  return {
      row<&Settings::smtp, &Smtp::listen>("smtp.listen", "Addresses for mail from other hosts, port 25."),
      row<&Settings::smtp, &Smtp::submission>("smtp.submission", "Addresses for users with STARTTLS, port 587."),
      row<&Settings::smtp, &Smtp::submissions>("smtp.submissions", "Addresses for users over TLS, port 465.", nullptr,
                                               inspect_tls_address),
      row<&Settings::smtp, &Smtp::banner>("smtp.banner", "Text after the host's name in the greeting."),
      row<&Settings::smtp, &Smtp::message_octets>("smtp.message_octets", "Largest message."),
      row<&Settings::smtp, &Smtp::recipients>("smtp.recipients", "Recipients of one message."),
      row<&Settings::smtp, &Smtp::line_octets>("smtp.line_octets", "Longest command line."),
      row<&Settings::smtp, &Smtp::text_line_octets>("smtp.text_line_octets", "Longest line of a message; 0: no limit."),
      row<&Settings::smtp, &Smtp::header_octets>("smtp.header_octets", "Largest header section of a message."),
      row<&Settings::smtp, &Smtp::errors>("smtp.errors", "Errors of a client until the session is closed."),
      row<&Settings::smtp, &Smtp::transactions>("smtp.transactions", "Messages of one connection; 0: no limit."),
      row<&Settings::smtp, &Smtp::bare_newlines>("smtp.bare_newlines", "What becomes of a bare CR or LF in a message.",
                                                 {"refuse", "normalise"}),
      row<&Settings::smtp, &Smtp::lenient>("smtp.lenient",
                                           "Whether harmless hand-typed forms are taken (MAIL FROM: a@b)."),
      row<&Settings::smtp, &Smtp::verify>("smtp.verify", "Whether VRFY tells users."),
      row<&Settings::smtp, &Smtp::expand>("smtp.expand", "Whether EXPN tells members of lists."),
      row<&Settings::smtp, &Smtp::check_from>("smtp.check_from",
                                              "Whether From of submitted mail must belong to the login."),
      row<&Settings::smtp, &Smtp::relay_networks>("smtp.relay_networks",
                                                  "Networks whose hosts may relay without AUTH."),
      row<&Settings::smtp, &Smtp::relay_domains>(
          "smtp.relay_domains",
          "Domains of other hosts that mail is taken for from anybody, to pass it on: domain, or .domain (below it)."),
      row<&Settings::smtp, &Smtp::relay_recipients>(
          "smtp.relay_recipients", "Maps of the addresses that exist in these domains; empty: all of them do."),
      row<&Settings::smtp, &Smtp::greeting_delay>("smtp.greeting_delay",
                                                  "Wait before the greeting; who talks earlier is refused."),
      row<&Settings::smtp, &Smtp::command_timeout>("smtp.command_timeout", "Wait for the next command."),
      row<&Settings::smtp, &Smtp::data_timeout>("smtp.data_timeout", "Wait for more of a message."),
      row<&Settings::smtp, &Smtp::data_rate>("smtp.data_rate",
                                             "Least octets per second of a message, averaged over a minute."),
      row<&Settings::smtp, &Smtp::received_limit>("smtp.received_limit",
                                                  "Received fields from which on a loop is assumed."),
      row<&Settings::smtp, &Smtp::future_release>("smtp.future_release",
                                                  "How long a submission may be held back; 0s: not offered."),
      row<&Settings::smtp, &Smtp::deliver_by>("smtp.deliver_by", "Whether DELIVERBY is offered."),
      row<&Settings::smtp, &Smtp::priority>("smtp.priority", "Whether MT-PRIORITY is offered."),
      row<&Settings::smtp, &Smtp::require_tls>("smtp.require_tls", "Whether REQUIRETLS is offered."),
      row<&Settings::smtp, &Smtp::etrn>("smtp.etrn", "Whether other hosts may ask for their queued mail by ETRN."),

      row<&Settings::policy, &Policy::allow_clients>("policy.allow_clients",
                                                     "Networks that no other check of this section applies to."),
      row<&Settings::policy, &Policy::deny_clients>("policy.deny_clients", "Networks that no mail is taken from."),
      row<&Settings::policy, &Policy::allow_names>(
          "policy.allow_names", "Names of clients that are spared the checks behind this one: name or .domain."),
      row<&Settings::policy, &Policy::deny_names>("policy.deny_names", "Names of clients that no mail is taken from."),
      row<&Settings::policy, &Policy::allow_senders>(
          "policy.allow_senders",
          "Senders that are spared the checks behind this one: user@domain, domain, .domain (below it) or user@."),
      row<&Settings::policy, &Policy::deny_senders>("policy.deny_senders", "Senders that no mail is taken from."),
      row<&Settings::policy, &Policy::allow_recipients>(
          "policy.allow_recipients", "Recipients that are spared greylisting and the policy server."),
      row<&Settings::policy, &Policy::deny_recipients>("policy.deny_recipients",
                                                       "Recipients that get no mail from outside."),
      row<&Settings::policy, &Policy::deny_helo>("policy.deny_helo", "Names in HELO or EHLO that are refused."),
      row<&Settings::policy, &Policy::dnsbl>(
          "policy.dnsbl", "Zones of DNS block lists; zone=127.0.0.2,127.0.0.3 heeds these answers only."),
      row<&Settings::policy, &Policy::dnswl>(
          "policy.dnswl", "Zones of DNS allow lists: a listed client is spared block lists and greylisting."),
      row<&Settings::policy, &Policy::reverse_dns>(
          "policy.reverse_dns", "Whether a client's address must have a name, and the name lead back.",
          {"off", "exists", "confirmed"}),
      row<&Settings::policy, &Policy::helo>(
          "policy.helo", "Whether the name in HELO must be a full name, and be in DNS.", {"off", "name", "resolves"}),
      row<&Settings::policy, &Policy::greylist>(
          "policy.greylist", "How long an unknown client, sender and recipient must wait; 0s: no greylisting."),
      row<&Settings::policy, &Policy::greylist_window>("policy.greylist_window",
                                                       "How long after the first try the second one is awaited."),
      row<&Settings::policy, &Policy::greylist_keep>("policy.greylist_keep",
                                                     "How long one that came again is remembered."),
      row<&Settings::policy, &Policy::greylist_database>("policy.greylist_database",
                                                         "Where greylisting is kept (SQLite)."),
      row<&Settings::policy, &Policy::rate_window>("policy.rate_window", "The time that the following four count in."),
      row<&Settings::policy, &Policy::client_connections>("policy.client_connections",
                                                          "Connections of one address; 0: no limit."),
      row<&Settings::policy, &Policy::client_messages>("policy.client_messages",
                                                       "Messages of one address without AUTH; 0: no limit."),
      row<&Settings::policy, &Policy::user_messages>("policy.user_messages", "Messages of one account; 0: no limit."),
      row<&Settings::policy, &Policy::user_recipients>("policy.user_recipients",
                                                       "Recipients of one account; 0: no limit."),
      row<&Settings::policy, &Policy::delegation>(
          "policy.delegation", "Address of a server that speaks Postfix's policy delegation protocol; empty: none.",
          check_delegation),
      row<&Settings::policy, &Policy::delegation_timeout>("policy.delegation_timeout", "Wait for its answer."),
      row<&Settings::policy, &Policy::delegation_failure>("policy.delegation_failure",
                                                          "What happens when it does not answer.", {"accept", "defer"}),
      row<&Settings::policy, &Policy::delegation_stages>("policy.delegation_stages", "When it is asked.",
                                                         {"HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE"}),
      row<&Settings::policy, &Policy::milters>(
          "policy.milters",
          "Mail filters, in their order: unix:/path or address:port, behind a blank its own failure action.",
          check_milter),
      row<&Settings::policy, &Policy::milter_failure>("policy.milter_failure",
                                                      "What happens when a mail filter does not answer.",
                                                      Choices(kMilterFailures.begin(), kMilterFailures.end())),
      row<&Settings::policy, &Policy::milter_connect_timeout>("policy.milter_connect_timeout",
                                                              "Wait for the connection to a mail filter."),
      row<&Settings::policy, &Policy::milter_timeout>("policy.milter_timeout", "Wait for a mail filter's answer."),
      row<&Settings::policy, &Policy::milter_message_timeout>("policy.milter_message_timeout",
                                                              "Wait for its answer to a whole message."),

      row<&Settings::lmtp, &Lmtp::listen>("lmtp.listen", "Addresses where mda speaks LMTP."),
      row<&Settings::lmtp, &Lmtp::connections>("lmtp.connections", "Open LMTP connections."),

      row<&Settings::relay, &Relay::smart_host>(
          "relay.smart_host", "host:port that takes all mail for other hosts; empty: MX.", check_smart_host),
      row<&Settings::relay, &Relay::smart_host_user>("relay.smart_host_user", "Log-in there; empty: none."),
      row<&Settings::relay, &Relay::smart_host_password_file>("relay.smart_host_password_file",
                                                              "File whose first line is the password."),
      row<&Settings::relay, &Relay::smart_host_tls>("relay.smart_host_tls", "TLS with the smart host.",
                                                    {"none", "opportunistic", "required", "implicit"}),
      row<&Settings::relay, &Relay::routes>(
          "relay.routes", "Recipient's ADDRESS, DOMAIN, .DOMAIN (all below it) or * = \"TRANSPORT\".", check_route),
      row<&Settings::relay, &Relay::route_maps>("relay.route_maps",
                                                "Maps with the same keys and values, asked after relay.routes."),
      row<&Settings::relay, &Relay::sender_routes>(
          "relay.sender_routes", "Sender's ADDRESS, DOMAIN, .DOMAIN, <> (bounces) or * = \"TRANSPORT\".", check_route),
      row<&Settings::relay, &Relay::sender_route_maps>("relay.sender_route_maps",
                                                       "Maps with these keys, asked after relay.sender_routes."),
      row<&Settings::relay, &Relay::user_routes>(
          "relay.user_routes", "ACCOUNT that submitted the message, or * = \"TRANSPORT\".", check_route),
      row<&Settings::relay, &Relay::user_route_maps>("relay.user_route_maps",
                                                     "Maps with these keys, asked after relay.user_routes."),
      row<&Settings::relay, &Relay::transports>("relay.transports", "NAME = \"TRANSPORT\", for routes to name.",
                                                check_transport),
      row<&Settings::relay, &Relay::source_address>(
          "relay.source_address", "Addresses to connect from, one per family; empty: the system's choice.",
          check_source_address),
      row<&Settings::relay, &Relay::tls>("relay.tls", "TLS with other hosts.", {"none", "opportunistic", "required"}),
      row<&Settings::relay, &Relay::dane>("relay.dane", "Whether certificates are verified by DANE (RFC 7672)."),
      row<&Settings::relay, &Relay::mta_sts>("relay.mta_sts",
                                             "Whether policies of MTA-STS (RFC 8461) are asked for and followed."),
      row<&Settings::relay, &Relay::mta_sts_port>("relay.mta_sts_port",
                                                  "HTTPS port of hosts that publish them; other than 443 for tests."),
      row<&Settings::relay, &Relay::private_targets>("relay.private_targets",
                                                     "Whether MX that point into private networks are used."),
      row<&Settings::relay, &Relay::ipv6>("relay.ipv6", "Whether IPv6 is used."),
      row<&Settings::relay, &Relay::address_family>("relay.address_family",
                                                    "Which addresses of a host are tried first, or alone.",
                                                    {"ipv6", "ipv4", "ipv6-only", "ipv4-only"}),
      row<&Settings::relay, &Relay::port>("relay.port", "Port of other hosts; other than 25 for tests."),
      row<&Settings::relay, &Relay::retry_first>("relay.retry_first",
                                                 "Wait after the first failure; it grows from there."),
      row<&Settings::relay, &Relay::retry_most>("relay.retry_most", "Longest wait between tries."),
      row<&Settings::relay, &Relay::give_up>("relay.give_up", "Age at which mail goes back to its sender."),
      row<&Settings::relay, &Relay::bounce_give_up>("relay.bounce_give_up", "Age at which a bounce is given up."),
      row<&Settings::relay, &Relay::priority_give_up>(
          "relay.priority_give_up", "Age at which mail with a raised priority (MT-PRIORITY) goes back to its sender."),
      row<&Settings::relay, &Relay::delay_warning>("relay.delay_warning",
                                                   "Age at which the sender is told of the delay; 0s: never."),
      row<&Settings::relay, &Relay::rates>(
          "relay.rates", "DESTINATION = \"60/1m\": most messages to it in a time; \"*\" for each that is not named.",
          check_rate),
      row<&Settings::relay, &Relay::connections>("relay.connections", "Connections to other hosts in all."),
      row<&Settings::relay, &Relay::connections_per_host>("relay.connections_per_host", "Connections to one host."),
      row<&Settings::relay, &Relay::recipients>("relay.recipients", "Recipients in one transaction."),
      row<&Settings::relay, &Relay::connect_timeout>("relay.connect_timeout", "Wait for a connection."),
      row<&Settings::relay, &Relay::command_timeout>("relay.command_timeout", "Wait for a reply."),
      row<&Settings::relay, &Relay::data_timeout>("relay.data_timeout", "Wait for the reply to a message."),

      row<&Settings::rewrite, &Rewrite::virtual_maps>(
          "rewrite.virtual_maps",
          "Maps of virtual domains: address or @domain to addresses; a domain alone as a key makes it ours."),
      row<&Settings::rewrite, &Rewrite::canonical_maps>(
          "rewrite.canonical_maps", "Maps from any address, of senders and recipients, to the one to be used."),
      row<&Settings::rewrite, &Rewrite::sender_canonical_maps>("rewrite.sender_canonical_maps",
                                                               "Likewise for senders, asked before."),
      row<&Settings::rewrite, &Rewrite::recipient_canonical_maps>("rewrite.recipient_canonical_maps",
                                                                  "Likewise for recipients, asked before."),
      row<&Settings::rewrite, &Rewrite::masquerade_domains>("rewrite.masquerade_domains",
                                                            "Domains whose hosts' names are cut off sender addresses."),
      row<&Settings::rewrite, &Rewrite::masquerade_exceptions>("rewrite.masquerade_exceptions",
                                                               "Local parts that keep the name of their host."),
      row<&Settings::rewrite, &Rewrite::sender_bcc_maps>(
          "rewrite.sender_bcc_maps", "Maps from a sender to the address that gets a copy of the sender's mail."),
      row<&Settings::rewrite, &Rewrite::recipient_bcc_maps>(
          "rewrite.recipient_bcc_maps", "Maps from a recipient to the address that gets a copy of that mail."),
      row<&Settings::rewrite, &Rewrite::always_bcc>("rewrite.always_bcc",
                                                    "Address that gets a copy of all mail; empty: none."),
      row<&Settings::rewrite, &Rewrite::headers>(
          "rewrite.headers", "Whether addresses in the header fields of our own users' mail are rewritten too."),
  };
}

}  // namespace mail::config
