// Which of the relay's queues takes a recipient's mail: asked of the same router the relay asks.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "config/settings.h"
#include "directory/directory.h"
#include "route/router.h"
#include "spool/envelope.h"

namespace mail::queue {

class Destinations {
 public:
  explicit Destinations(const config::Settings& settings) : settings_(settings) {}

  /// The relay's name for the destination of this recipient: its domain, or what its route leads to. Empty where that
  /// cannot be said: users or maps are not to be read, or the mail is not for another host.
  std::string key(const spool::Envelope& envelope, const spool::Recipient& recipient);
  /// Why mail of this host to the address would come back at once; nothing where it would not, or cannot be said.
  std::optional<std::string> refusal(const std::string& address);

 private:
  const route::Router* router();

  const config::Settings& settings_;
  bool tried_ = false;  ///< Users and maps are read when they are needed first.
  std::unique_ptr<directory::Directory> users_;
  std::unique_ptr<route::Router> router_;
};

}  // namespace mail::queue
