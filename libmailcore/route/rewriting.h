// Addresses that become other addresses where a message enters the system: virtual domains, canonical maps,
// masquerading, and who gets copies. Once: what is in the queue is not rewritten again.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.h"
#include "route/map.h"

namespace mail::route {

class Rewriting {
 public:
  explicit Rewriting(const config::Settings& settings, const Clock& clock = Clock::system());

  /// Recipients of virtual domains: "name@domain" → addresses. The router follows them.
  const Maps& virtual_maps() const { return virtual_; }
  const std::string& delimiter() const { return delimiter_; }

  /// The address to be used for a sender: the canonical maps, then masquerading. The null reverse-path stays.
  /// @return temporary where a map cannot be read.
  Result<std::string> sender(std::string_view address) const;
  /// The same for a recipient, by the canonical maps only. `rule`, where given, hears which entry decided.
  Result<std::string> recipient(std::string_view address, std::string* rule = nullptr) const;
  /// A header (up to and with its empty line) with all addresses in it rewritten; nothing where none changes.
  Result<std::optional<std::string>> header(std::string_view header) const;
  /// Who gets a copy of a message: each once, and none that is a recipient anyway.
  Result<std::vector<std::string>> copies(std::string_view reverse_path,
                                          const std::vector<std::string>& recipients) const;
  bool gives_copies() const { return !sender_bcc_.empty() || !recipient_bcc_.empty() || !always_bcc_.empty(); }

  void reload() const;
  /// For --check.
  std::vector<std::string> problems() const;

 private:
  Result<std::string> mapped(const Maps& maps, std::string address, std::string* rule) const;
  std::string masqueraded(std::string address) const;
  bool is_local(std::string_view domain) const;

  std::string delimiter_, always_bcc_;
  config::Strings local_domains_, masquerade_, exceptions_;
  bool headers_;
  mutable Maps virtual_, canonical_, sender_canonical_, recipient_canonical_, sender_bcc_, recipient_bcc_;
};

}  // namespace mail::route
