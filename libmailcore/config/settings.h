// All settings of all programs, as one plain struct; relais.toml(5) says the same in words. Members are named as the
// keys.
#pragma once
#include "config/values.h"

namespace mail::config {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

struct Host {
  std::string name;  ///< Fully qualified name of this host in greetings and Received; empty: gethostname().
  Strings domains;   ///< Domains whose mail is local; empty: name.
  std::string postmaster = "postmaster";  ///< Where mail for postmaster of any local domain goes, and double bounces.
};

struct Log {
  std::string target = "stderr";  ///< stderr, syslog, journal, none or file:PATH
  std::string level = "info";     ///< debug, info, warning, error
};

struct Run {
  std::string user;        ///< Dropped to when started as root; empty: "relais".
  std::string group;       ///< Empty: the user's.
  unsigned threads = 0;    ///< Loops; 0: one per core.
  unsigned workers = 0;    ///< Threads for what blocks; 0: four per core.
  seconds stop_grace{10};  ///< From SIGTERM until open sessions are cut.
};

struct Tls {
  std::vector<Certificate> certificates;  ///< The first is sent to a client without SNI or with an unknown name.
  std::string minimum = "1.2";
  std::string ciphers;  ///< OpenSSL list for TLS 1.2; empty: OpenSSL's.
  bool session_tickets = true;
  std::string ca_file;  ///< PEM, trusted for client connections; empty: the system's.
};

struct Limits {
  std::size_t connections = 10000;
  std::size_t connections_per_address = 100;  ///< Per IPv4 address or IPv6 /64.
  Networks unlimited{};                       ///< Networks without the per-address limit, beside loopback.
  std::size_t descriptors = 0;                ///< RLIMIT_NOFILE; 0: as needed for connections, up to the hard limit.
  Networks proxies;                           ///< Peers that send a PROXY protocol header (v1 or v2).
  seconds tls_handshake{30};
  seconds proxy_header{5};
};

struct Dns {
  Endpoints servers;           ///< Empty: /etc/resolv.conf.
  milliseconds timeout{5000};  ///< Of the first try at each server.
  unsigned tries = 3;
  std::size_t records = 1000;  ///< More in one answer is cut off there.
  unsigned cnames = 8;         ///< Longest chain of CNAMEs that is followed.
  bool trust_ad = false;       ///< What servers on other hosts say of DNSSEC is believed.
};

struct Spool {
  std::string directory = "/var/spool/relais";
  Octets journal_segment = megabytes(16);
  Octets journal_message = kilobytes(256);  ///< Larger messages are synced as files.
  Octets free_octets = megabytes(64);       ///< Below this much free space mail is refused with 452.
  std::size_t drop_messages_per_user = 10000;
  Octets drop_octets_per_user = megabytes(1024);
};

struct Mail {
  std::string root =
      "/var/mail/%d/%n";   ///< The Maildir of a user: %u user@domain, %n local part, %d domain, %h home directory.
  std::string index_root;  ///< Where the index databases are; empty: beside the Maildir.
  Octets quota{0};         ///< Of a user without one of his own; 0: none.
};

struct Users {
  std::string passwd_file;    ///< users(5), Dovecot's passwd-file format.
  std::string aliases_file;   ///< aliases(5).
  bool system_users = false;  ///< Accounts of the system receive mail and log in (as root only: shadow).
  Strings checkpassword;      ///< argv of a checkpassword program; empty: none.
  std::string recipient_delimiter = "+";
  seconds cache{300};  ///< How long a checked password is remembered.
  seconds negative_cache{10};
};

struct Auth {
  Strings mechanisms{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1"};
  bool allow_plaintext = false;  ///< PLAIN, LOGIN, USER/PASS without TLS.
  bool channel_binding = false;  ///< SCRAM-...-PLUS: mutt 2.2 takes it before all others and cannot do it.
  milliseconds failure_delay{2000};
  unsigned lockout_failures = 10;  ///< Failed log-ins of one address or account ...
  seconds lockout_window{600};     ///< ... within this time ...
  seconds lockout{300};            ///< ... lock it out this long.
};

struct Smtp {
  Endpoints listen;       ///< SMTP, port 25.
  Endpoints submission;   ///< Submission with STARTTLS, port 587.
  Endpoints submissions;  ///< Submission over TLS, port 465.
  std::string banner;     ///< Text after the host name in the 220 greeting.
  Octets message_octets = megabytes(64);
  std::size_t recipients = 1000;
  std::size_t line_octets = 2048;  ///< Of a command.
  std::size_t text_line_octets =
      998;  ///< Of the message, without CRLF; longer lines are refused or folded ("normalise").
  Octets header_octets = kilobytes(512);
  std::size_t errors = 20;               ///< Then 421.
  std::size_t transactions = 0;          ///< Per connection; 0: no limit.
  std::string bare_newlines = "refuse";  ///< refuse, normalise
  bool lenient = true;                   ///< Hand-typed forms that RFC 5321 leaves harmless.
  bool verify = false;                   ///< VRFY answers.
  bool expand = false;                   ///< EXPN answers.
  bool check_from = true;                ///< Submission: From must belong to the login.
  Networks relay_networks;               ///< Clients that may relay without AUTH.
  Strings relay_domains;     ///< Domains of other hosts that we take mail for from anybody: "domain", ".domain".
  Strings relay_recipients;  ///< Maps of the addresses that exist in them; empty: all do.
  seconds greeting_delay{0};
  seconds command_timeout{300};
  seconds data_timeout{300};
  Octets data_rate{100};              ///< Least octets per second of message text, averaged, after a minute.
  std::size_t received_limit = 50;    ///< Hops before a loop is assumed.
  seconds future_release{7 * 86400};  ///< Longest HOLDFOR of a submission (RFC 4865); 0: not offered.
  bool deliver_by = true;             ///< DELIVERBY (RFC 2852) is offered.
  bool priority = true;               ///< MT-PRIORITY (RFC 6710) is offered.
  bool require_tls = true;            ///< REQUIRETLS (RFC 8689) is offered.
  bool etrn = false;                  ///< ETRN (RFC 1985) is offered.
};

/// What `mta serve` asks about a client before it takes mail from it; clients that are trusted (AUTH,
/// smtp.relay_networks) only meet the rates.
struct Policy {
  Networks allow_clients, deny_clients;  ///< Allowed: no other check. Denied: refused at once.
  Strings allow_names, deny_names;       ///< Of clients, by DNS: "name" or ".domain". Allowed: as allow_senders.
  Strings allow_senders, deny_senders;   ///< "user@domain", "domain", ".domain" (below it) or "user@".
  Strings allow_recipients, deny_recipients;
  Strings deny_helo;
  Strings dnsbl;                    ///< Zones (RFC 5782), "zone" or "zone=127.0.0.2,127.0.0.3".
  Strings dnswl;                    ///< A listed client is spared dnsbl and greylisting.
  std::string reverse_dns = "off";  ///< off, exists, confirmed
  std::string helo = "off";         ///< off, name, resolves
  seconds greylist{0};              ///< How long an unknown triple must wait; 0: no greylisting.
  seconds greylist_window{172800};
  seconds greylist_keep{3024000};
  std::string greylist_database = "/var/lib/relais/greylist.sqlite";
  seconds rate_window{3600};
  std::size_t client_connections = 0;  ///< Per address (IPv6: /64) and rate_window; 0: no limit.
  std::size_t client_messages = 0;
  std::size_t user_messages = 0;  ///< Per account.
  std::size_t user_recipients = 0;
  std::string delegation;  ///< Postfix policy server; "host:port" with an address, or "unix:/path".
  milliseconds delegation_timeout{10000};
  std::string delegation_failure = "accept";  ///< accept, defer
  Strings delegation_stages{"RCPT"};          ///< HELO, MAIL, RCPT, DATA, END-OF-MESSAGE
  Strings milters;                          ///< "unix:/path" or "address:port", behind a blank its own failure action.
  std::string milter_failure = "tempfail";  ///< accept, tempfail, reject, quarantine
  milliseconds milter_connect_timeout{30000};
  milliseconds milter_timeout{30000};
  milliseconds milter_message_timeout{300000};
};

struct Lmtp {
  Endpoints listen;
  std::size_t connections = 100;
};

struct Relay {
  std::string smart_host;  ///< host:port; empty: MX of the recipient's domain.
  std::string smart_host_user;
  std::string smart_host_password_file;
  std::string smart_host_tls = "opportunistic";  ///< none, opportunistic, required, implicit
  Table routes;                                  ///< ADDRESS, DOMAIN, .DOMAIN or * = transport, before MX.
  Strings route_maps;                            ///< Maps with the same keys, asked after `routes`.
  Table sender_routes;                           ///< By reverse-path: ADDRESS, DOMAIN, .DOMAIN, <> or *.
  Strings sender_route_maps;
  Table user_routes;  ///< By the account that submitted the message, or *.
  Strings user_route_maps;
  Table transports;                   ///< NAME = transport: what routes may name.
  Strings source_address;             ///< One per address family; empty: the system's choice.
  std::string tls = "opportunistic";  ///< none, opportunistic, required
  bool dane = true;                   ///< RFC 7672, where the name servers are trusted.
  bool mta_sts = true;                ///< RFC 8461.
  std::uint16_t mta_sts_port = 443;   ///< Of the hosts that publish policies; other than 443 in tests only.
  bool private_targets = false;       ///< MX that point to loopback and private networks are used.
  bool ipv6 = true;
  std::string address_family = "ipv6";  ///< ipv6, ipv4 (which is tried first), ipv6-only, ipv4-only
  std::uint16_t port = 25;              ///< Of MX hosts; other than 25 in tests only.
  seconds retry_first{60};
  seconds retry_most{14400};
  seconds give_up{432000};
  seconds bounce_give_up{86400};
  seconds priority_give_up{86400};  ///< Of mail with a raised MT-PRIORITY.
  seconds delay_warning{14400};
  Table rates;  ///< DESTINATION = "60/1m": messages per time; "*" for all that are not named.
  std::size_t connections = 100;
  std::size_t connections_per_host = 20;
  std::size_t recipients = 100;  ///< Per transaction.
  seconds connect_timeout{30};
  seconds command_timeout{300};
  seconds data_timeout{600};
};

/// Address rewriting, once, where a message enters the system. A map is a file of `key value` lines or
/// "sqlite:FILE QUERY".
struct Rewrite {
  Strings virtual_maps;           ///< Recipient address, @domain or domain (then it is ours) to addresses.
  Strings canonical_maps;         ///< Any address in envelope or header to another one.
  Strings sender_canonical_maps;  ///< As canonical_maps, for senders only, before it.
  Strings recipient_canonical_maps;
  Strings masquerade_domains;     ///< Their subdomains are cut off sender addresses.
  Strings masquerade_exceptions;  ///< Local parts that keep their host.
  Strings sender_bcc_maps;        ///< Who gets a copy of what a sender sends.
  Strings recipient_bcc_maps;     ///< Who gets a copy of what a recipient gets.
  std::string always_bcc;         ///< Gets a copy of everything; empty: nobody.
  bool headers = true;            ///< Header fields of our own clients' mail are rewritten too.
};

struct Mda {
  std::string spam_mailbox;
  Strings mailbox_command{};        ///< argv; empty: deliver to the Maildir.
  bool forward_files = false;       ///< ~/.forward of system users is honoured.
  std::size_t batch = 64;           ///< Messages that share one round of flushes.
  bool change_user = false;         ///< Started as root: each delivery runs as the user it is for.
  bool detail_mailbox = false;      ///< user+detail goes to the mailbox `detail`, where there is one.
  bool quota_full_bounces = false;  ///< A full mailbox is a permanent failure; else it is tried again.
  seconds retry_first{30};
  seconds retry_most{3600};
  seconds give_up{432000};
  seconds program_time{300};  ///< A program of an alias or .forward is killed after this.
};

struct Imap {
  Endpoints listen;
  Endpoints tls_listen;
  seconds login_timeout{60};
  seconds idle_timeout{1800};
  std::size_t line_octets = 65536;
  Octets append_octets = megabytes(64);
  std::size_t errors = 20;
  std::string other_users = "user";  ///< First part of the names of other users' mailboxes; empty: none are seen.
  std::string shared_list = "/var/lib/relais/shared-mailboxes";     ///< Who shares with whom, for LIST.
  std::string server_metadata = "/var/lib/relais/server-metadata";  ///< METADATA of the server, below /shared.
  std::vector<std::string> administrators;  ///< Users who set quotas, everybody's rights and the server's METADATA.
  std::size_t message_limit = 0;            ///< Messages one command works on (RFC 9738); 0: any number.
  bool utf8_only = false;                   ///< UTF8=ONLY (RFC 6855 section 6): clients must ENABLE UTF8=ACCEPT.
  Strings url_submitters;                   ///< Users that may fetch URLs made for `submit+` (RFC 4467).
};

struct Pop3 {
  Endpoints listen;
  Endpoints tls_listen;
  seconds login_timeout{60};
  seconds idle_timeout{600};
  seconds login_delay{0};
  std::size_t errors = 20;
};

struct Settings {
  Host host;
  Log log;
  Run run;
  Tls tls;
  Limits limits;
  Dns dns;
  Spool spool;
  Mail mail;
  Users users;
  Auth auth;
  Smtp smtp;
  Policy policy;
  Lmtp lmtp;
  Relay relay;
  Rewrite rewrite;
  Mda mda;
  Imap imap;
  Pop3 pop3;
};

/// host.name, or what gethostname() and its resolver say; never empty.
std::string host_name(const Settings& settings);
/// host.domains in lower case; without any: the host's name.
Strings local_domains(const Settings& settings);

}  // namespace mail::config
