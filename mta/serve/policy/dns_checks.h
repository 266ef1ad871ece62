// What DNS says about a client: block and allow lists (RFC 5782), its name, and whether the name leads back to it.
// Asked all at once when the client connects, needed when it names a sender: the answers come while it says EHLO.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/alive.h"
#include "base/ip_address.h"
#include "net/resolver.h"

namespace mail::mta {

class DnsChecks {
 public:
  struct Settings {
    std::vector<std::string> block_lists, allow_lists;  ///< "zone" or "zone=127.0.0.2,127.0.0.3"
    bool names = false;                                 ///< Look for the client's name.
  };
  struct Findings {
    std::optional<std::string> blocked_by;  ///< The zone.
    std::string block_text;                 ///< Its TXT record, made printable; may be empty.
    bool allowed = false;                   ///< On an allow list.
    bool has_name = false;                  ///< A PTR record exists.
    std::vector<std::string> names;         ///< What it says, whether it leads back or not.
    std::string confirmed_name;  ///< One that leads back to the address (RFC 8601 section 2.7.3); else empty.
    bool name_unknown = false;   ///< DNS did not answer: neither has_name nor confirmed_name mean anything.
  };

  DnsChecks(net::Resolver& resolver, const IpAddress& client, Settings settings);
  /// Calls back when all is known; at once, where it is known already.
  void when_done(std::function<void(const Findings&)> callback);
  bool done() const { return open_ == 0; }
  const Findings& findings() const { return findings_; }

 private:
  struct List;
  void ask_list(const std::string& entry, bool block);
  void ask_name();
  void confirm(const std::string& name);
  void listed(const List& list, const net::DnsAnswer& answer);
  void ask(net::DnsType type, std::string_view name, std::function<void(net::DnsResult)> callback);

  net::Resolver& resolver_;
  IpAddress client_;
  Settings settings_;
  Findings findings_;
  std::vector<std::unique_ptr<net::Resolver::Query>> queries_;
  std::size_t open_ = 0;
  std::function<void(const Findings&)> callback_;
};

}  // namespace mail::mta
