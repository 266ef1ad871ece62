// The transport table: how mail for an address goes on. Asked by recipient, then by account, then by sender; what
// nothing is said about goes to the smart host, or by MX.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/settings.h"
#include "config/transport.h"
#include "route/map.h"

namespace mail::route {

using TransportPtr = std::shared_ptr<const config::Transport>;

/// Who sends a message, for the routes that ask.
struct Sender {
  std::string_view reverse_path;  ///< Empty: the null reverse-path.
  std::string_view account;       ///< Who submitted it; empty: nobody logged in.
};

class Routes {
 public:
  explicit Routes(const config::Settings& settings, const Clock& clock = Clock::system());

  struct Choice {
    TransportPtr transport;    ///< Null: nothing is said.
    std::string rule;          ///< Which entry decided.
    bool for_address = false;  ///< It names this very address, not a domain.
  };
  /// An entry for the address, its domain or a domain above; not "*".
  /// @param name, domain  lower case, without quotes. @return temporary where a map cannot be read.
  Result<Choice> by_recipient(std::string_view name, std::string_view domain) const;
  /// The account's, the sender's, "*" of the recipients, the smart host; in this order.
  Result<Choice> otherwise(const Sender& sender) const;
  /// True where by_recipient() never finds anything: local mail need not ask.
  bool no_recipients() const { return recipients_.empty(); }

  void reload() const;
  /// For --check.
  std::vector<std::string> problems() const;

 private:
  Result<Choice> find(const Maps& maps, std::string_view key) const;
  Result<Choice> find_domain(const Maps& maps, std::string_view domain) const;
  Result<TransportPtr> transport(const std::string& text) const;

  config::Table named_;
  std::string delimiter_;
  mutable Maps recipients_, senders_, accounts_;
  Choice smart_host_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, TransportPtr> parsed_;  // the same text is the same transport
};

}  // namespace mail::route
