// How many connections there are, in all and per address; thread-safe. Internal to net/.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "config/settings.h"
#include "net/address.h"

namespace mail::net {

class Admission : public std::enable_shared_from_this<Admission> {
 public:
  explicit Admission(const config::Limits& limits) : limits_(limits) {}

  /// A place in all; null when there is none. The place is given back when the last copy of the token dies, then
  /// `on_free` is called (from any thread).
  std::shared_ptr<void> enter();
  /// A place among those of the peer's address (IPv6: its /64); null when there is none. Loopback, Unix sockets and
  /// limits.unlimited always have one.
  std::shared_ptr<void> enter(const SocketAddress& peer);
  bool full() const;
  std::size_t count() const;
  void on_free(std::function<void()> function) { on_free_ = std::move(function); }

 private:
  void leave();
  void leave(const IpAddress& prefix);
  std::optional<IpAddress> limited_prefix(const SocketAddress& peer) const;

  config::Limits limits_;
  mutable std::mutex mutex_;
  std::size_t count_ = 0;
  std::map<IpAddress, std::size_t> per_prefix_;
  std::function<void()> on_free_;
};

}  // namespace mail::net
