// One function from a recipient to what happens to it (DESIGN): serve asks it at RCPT time, relay for spool/drop, mda
// for spool/local.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "directory/directory.h"
#include "route/rewriting.h"
#include "route/routes.h"

namespace mail::route {

/// A mailbox of this system. `user` is what Directory::find_user() finds.
struct LocalMailbox {
  std::string user;
  std::string detail;  ///< What stood behind the recipient delimiter: "lists" of ann+lists; empty: none.
  bool operator==(const LocalMailbox&) const = default;
};
struct Remote {
  std::string domain;           ///< Lower-case A-labels, or an address literal "[192.0.2.1]", "[IPv6:2001:db8::1]".
  TransportPtr transport = {};  ///< Of kind mx, smtp or lmtp; null: by the domain's MX.
  bool operator==(const Remote&) const = default;
};
struct Pipe {
  std::vector<std::string> argv;
  TransportPtr transport = {};  ///< Of kind pipe, whose %-words are to be replaced; null: an alias's program.
  bool operator==(const Pipe&) const = default;
};
struct File {
  std::string path;  ///< mbox, or a Maildir where it ends with '/'.
  bool operator==(const File&) const = default;
};
struct Discard {
  bool operator==(const Discard&) const = default;
};
using Destination = std::variant<LocalMailbox, Remote, Pipe, File, Discard>;

/// One recipient of the message as it goes on: write `forward_path` into the envelope.
/// For Pipe, File and Discard that is the alias's own address: mda asks route_spooled() for it, which gives its
/// programs and files only. So no command ever stands in an envelope.
struct Target {
  std::string forward_path;  ///< local-part@domain, normalised (domain in lower-case A-labels, no source route).
  Destination destination;
  bool operator==(const Target&) const = default;
};
struct Refusal {
  int code = 550;
  std::string enhanced;  ///< "5.1.1" no such user here, "5.1.2" bad domain, "5.1.3" bad syntax, "5.1.6" moved, "5.4.6"
                         ///< alias loop, "5.7.1" not relayed.
  std::string text;      ///< Without the enhanced code.
};
/// What happens to one recipient. Without a refusal there is at least one target; an alias may give many, each once.
struct Route {
  std::optional<Refusal> refusal;
  std::vector<Target> targets;
  std::string owner;      ///< `owner-NAME` of an alias, when there is one: the reverse-path of what goes out to its
                          ///< targets; empty: keep the sender's.
  bool expanded = false;  ///< An alias or catch-all took part; ORCPT should be kept (RFC 3461 section 5.2.7.3).
  bool ours = false;      ///< The address is of a domain of ours, or maps of ours know it: anybody may send there.
  bool all_local() const;
};

/// What a route may depend on beside the recipient.
struct Context {
  Sender sender;
  bool entering = false;  ///< The message comes into the system now: canonical and virtual maps apply to any address.
  std::vector<std::string>* why = nullptr;  ///< Where given, hears each entry that decided, for `mta explain`.
};

struct Options {
  std::string delimiter = "+";         ///< Recipient delimiter(s): any of these octets; empty: none.
  std::string host_name;               ///< Our own name: local like the domains.
  std::vector<std::string> addresses;  ///< Our own addresses: user@[address] is local.
  std::string postmaster =
      "postmaster";  ///< Where mail for postmaster goes when there is neither such a user nor alias (RFC 5321 4.5.1).
  int most_depth = 20;                     ///< Aliases that lead to aliases.
  std::size_t most_targets = 5000;         ///< Of one recipient.
  std::uint64_t include_octets = 1 << 20;  ///< Largest :include: file.
  std::vector<std::string> relay_domains;  ///< smtp.relay_domains, lower case.
  std::shared_ptr<const Maps> relay_recipients;
  std::shared_ptr<const Routes> routes;        ///< Null: everything by MX.
  std::shared_ptr<const Rewriting> rewriting;  ///< Null: nothing is rewritten.
};

class Router {
 public:
  Router(const directory::Directory& directory, Options options);

  /// Where mail for `recipient` goes. Thread-safe, no network; users, aliases and maps are in memory.
  /// @param recipient  a forward-path as it came, without angle brackets: "ann+x@Example.ORG.", "postmaster",
  /// "@a,@b:c@d", "a%b@us", "b!a".
  /// @return temporary where a source of users cannot be asked (451 4.3.0). Whether a Remote may be relayed for this
  /// client is the caller's to say:
  ///         the router has already refused (5.7.1) what asks us to relay by a percent hack, a bang path or a source
  ///         route.
  Result<Route> route(std::string_view recipient, const Context& context = {}) const;
  /// For mda: as route(), but an alias gives its own Pipe, File and Discard targets only: its addresses were expanded
  /// when the message was accepted.
  Result<Route> route_spooled(std::string_view forward_path, const Context& context = {}) const;
  /// True for the local domains, the host's name and address literals of ourselves. Any spelling.
  bool is_local_domain(std::string_view domain) const;
  const directory::Directory& users() const { return directory_; }
  const Rewriting* rewriting() const { return options_.rewriting.get(); }
  /// Looks for changes in all maps now.
  void reload() const;

 private:
  struct Address;
  class Expansion;
  friend class Expansion;
  const std::vector<directory::AliasTarget>* alias_of(const directory::AliasTable& aliases, const Address& address,
                                                      std::string* name) const;
  Result<std::optional<LocalMailbox>> mailbox_of(const Address& address) const;
  /// True where a virtual map has the domain alone as a key.
  Result<bool> is_virtual_domain(std::string_view domain) const;
  Result<std::optional<Refusal>> refuse_unknown(const Address& address) const;
  bool is_relay_domain(std::string_view domain) const;
  std::string default_domain() const;
  static tl::expected<Address, Refusal> take_apart(std::string_view recipient, const std::string& default_domain);

  const directory::Directory& directory_;
  Options options_;
};

/// A domain as it is compared and looked up: lower-case A-labels (IDNA 2008 by libidn2), no trailing dot; address
/// literals in canonical spelling.
/// @return syntax for what is neither.
Result<std::string> normalised_domain(std::string_view domain);
/// Labels of letters, digits, hyphens and (names that people use) underscores, of lengths that DNS can hold (RFC 1035
/// section 2.3.4); without a trailing dot.
bool is_host_name(std::string_view domain);

}  // namespace mail::route
