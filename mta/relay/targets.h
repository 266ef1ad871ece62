// From a recipient's domain to the hosts that take its mail, in the order in which they are tried (RFC 5321
// section 5.1).
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.h"
#include "mta/relay/sts_policies.h"
#include "net/address.h"
#include "net/resolver.h"
#include "route/router.h"
#include "smtp/reply.h"
#include "spool/envelope.h"

namespace mail::relay {

enum class TlsMode {
  none,           ///< Never.
  opportunistic,  ///< Where offered, whatever the certificate (RFC 7435); in clear where the handshake fails.
  required,       ///< With a certificate that verifies; else the message waits.
  implicit,       ///< As required, from the first octet on.
};
/// "none", "opportunistic", "required", "implicit".
std::optional<TlsMode> parse_tls_mode(std::string_view word);

/// Which addresses of a host are used, and in which order.
enum class Family { ipv6_first, ipv4_first, ipv6_only, ipv4_only };

/// Where the mail of one destination goes: by MX of the domain, or to one host that the configuration names.
struct NextHop {
  std::string key;   ///< Messages with the same key share a queue and connections: the domain, or "[host]:port".
  std::string host;  ///< The domain whose MX are asked, or the host's name, address, or address literal.
  std::uint16_t port = 25;
  bool by_mx = true;
  std::string unix_path;  ///< Not empty: a Unix socket.
  bool lmtp = false;
  TlsMode tls = TlsMode::opportunistic;
  bool dane = false;     ///< TLSA records are asked for (RFC 7672).
  bool mta_sts = false;  ///< So is the MTA-STS policy of `host` (RFC 8461).
  /// For mail with REQUIRETLS (RFC 8689 section 4.2.1): only hosts that are known to be the domain's, by TLS with a
  /// certificate that verifies, and which offer the extension.
  bool requiretls = false;
  Family family = Family::ipv6_first;
  /// The route or smart host: with whom to log in, where to connect from. Null: by MX, nothing special.
  route::TransportPtr transport;
  /// Not empty: this queue stands beside the one of that key, for some messages only.
  std::string beside{};
  const std::string& name() const { return beside.empty() ? key : beside; }
  bool authenticate() const { return transport && !transport->auth_user.empty(); }
};
/// What the router said, and what the settings add where its transport says nothing.
NextHop next_hop(const config::Relay& settings, const route::Remote& remote);
/// The same way for a message that says TLS-Required: No (RFC 8689 section 4.2.2): where TLS was required, or DANE may
/// ask for it, it is now opportunistic, in a queue of its own. Hosts that we log in to, or that speak TLS from the
/// first octet, stay as they are.
NextHop without_tls_policy(NextHop hop);
/// The same way for a message with REQUIRETLS, in a queue of its own: what fails here says nothing of other mail.
NextHop with_requiretls(NextHop hop);
/// The way of one message there: as next_hop(), with what its envelope says of TLS.
NextHop next_hop_of(const config::Relay& settings, const route::Remote& remote, const spool::Envelope& envelope);
/// The first of these addresses that is of the same family as `to`; nothing where there is none.
std::optional<net::SocketAddress> source_for(const config::Strings& sources, const net::SocketAddress& to);

/// What DANE asks of a host's certificate.
struct Dane {
  std::string base;    ///< The name the records were found at: for SNI, and for DANE-TA in the certificate.
  std::string domain;  ///< The next hop's, which may be there too; empty: the same.
  std::vector<net::TlsaRecord> records;  ///< DANE-TA and DANE-EE. None: TLS is needed, and any certificate will do.
};

/// One address to connect to.
struct HostAddress {
  std::string host_name;  ///< The MX or host the address belongs to; for TLS and for reports ("dns; mx.example.org").
  net::SocketAddress address;
  std::uint16_t preference = 0;
  std::shared_ptr<const Dane> dane{};  ///< Null: it has no TLSA records, or they are not authentic.
  /// The domain's policy names this host: what it says of its certificate. `none` where there is no policy, or where
  /// DANE says it (RFC 8461 section 2).
  StsPolicy::Mode sts = StsPolicy::Mode::none;
  /// That it is the domain's is certain: by configuration, DNSSEC, or an MTA-STS policy (RFC 8689 section 4.2.1).
  bool authentic = false;
  /// Name and address: what fails under one name (a certificate) may be well under another.
  std::string text() const { return host_name + " " + address.to_string(); }
};

/// What a look-up takes into account beside the DNS.
struct TargetRules {
  std::string own_name;                  ///< An MX of this name is us (RFC 5321 section 5.1: no mail loops).
  std::vector<IpAddress> own_addresses;  ///< So is one with such an address, on port 25.
  bool private_targets = false;          ///< settings.relay.private_targets
  StsPolicies* sts = nullptr;            ///< Who knows MTA-STS policies; null: nobody.
};

/// Limits that keep a hostile zone cheap (threats: 1,000 MX).
inline constexpr std::size_t kMostMxHosts = 16;
inline constexpr std::size_t kMostAddresses = 32;
inline constexpr std::size_t kMostTlsa = 20;  // of one host

/// The hosts in order, at least one; or the reply that the recipients of the domain get: 4xx where it may pass (DNS
/// does not answer), 5xx where it will not (no such domain, null MX, we are the best MX ourselves).
using Targets = tl::expected<std::vector<HostAddress>, smtp::Reply>;

/// A look-up under way; destroyed, the callback is not called.
class TargetLookup {
 public:
  using Callback = UniqueFunction<void(Targets)>;
  /// Calls back from the loop, never from within the constructor; the callback may destroy this object.
  TargetLookup(net::Loop& loop, net::Resolver& resolver, NextHop hop, TargetRules rules, Callback callback);
  ~TargetLookup();
  TargetLookup(const TargetLookup&) = delete;
  TargetLookup& operator=(const TargetLookup&) = delete;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mail::relay
